#!/usr/bin/env python3
"""Home Assistant's core with its MQTT integration, on a broker:  homeassistant_peer.py DIR PORT PREFIX

No pages, no database: what it finds is printed, a line each. `up` once it runs, `state JSON` for each new state of an
entity, with what its registries say of it, `removed ENTITY`, and `complaint TEXT` for all that it warns of.
"""
import asyncio
import json
import logging
import os
import sys

from homeassistant import bootstrap, config_entries, core, loader
from homeassistant.config import async_process_ha_core_config
from homeassistant.helpers import device_registry, entity_registry
from homeassistant.setup import async_setup_component

HOME = {"name": "home", "unit_system": "metric", "latitude": 1, "longitude": 2, "elevation": 0, "time_zone": "UTC"}
# What these two need is not installed: they show pictures.
PICTURES = ("camera", "image")


def say(word, text=""):
    # In one piece: several threads have something to say.
    sys.stdout.write(f"{word} {text}".strip() + "\n")
    sys.stdout.flush()


class Complaints(logging.Handler):
    def emit(self, record):
        text = record.getMessage().replace("\n", " ")
        if not any(f"'{name}'" in text or text.endswith(f"component {name}") for name in PICTURES):
            say("complaint", f"{record.name} {text}")


def entry(port, prefix):
    data = {"broker": "127.0.0.1", "port": port, "discovery": True, "discovery_prefix": prefix}
    if prefix != "homeassistant":
        birth = {"topic": f"{prefix}/status", "payload": "online", "qos": 0, "retain": False}
        data["birth_message"] = birth
    return {
        "entry_id": "mqtt", "version": 1, "minor_version": 1, "domain": "mqtt", "title": "broker", "data": data,
        "options": {}, "pref_disable_new_entities": False, "pref_disable_polling": False, "source": "user",
        "unique_id": None, "disabled_by": None,
    }


async def main():
    home, port, prefix = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    os.makedirs(f"{home}/.storage", exist_ok=True)
    with open(f"{home}/configuration.yaml", "w"):
        pass
    stored = {"version": 1, "minor_version": 1, "key": "core.config_entries", "data": {"entries": [entry(port, prefix)]}}
    with open(f"{home}/.storage/core.config_entries", "w") as file:
        json.dump(stored, file)
    hass = core.HomeAssistant(home)
    loader.async_setup(hass)
    hass.config.skip_pip = True
    hass.config_entries = config_entries.ConfigEntries(hass, {})
    await bootstrap.async_load_base_functionality(hass)
    await async_process_ha_core_config(hass, HOME)
    # MQTT wants these two for certificates that are uploaded.
    hass.config.components.update(("http", "file_upload"))
    logging.getLogger().addHandler(complaints := Complaints())
    complaints.setLevel(logging.WARNING)

    def changed(event):
        new = event.data["new_state"]
        if new is None:
            say("removed", event.data["entity_id"])
            return
        known = entity_registry.async_get(hass).async_get(new.entity_id)
        if known is None:
            return
        device = device_registry.async_get(hass).async_get(known.device_id)
        say("state", json.dumps({
            "entity": new.entity_id, "state": new.state, "unique_id": known.unique_id,
            "attributes": {key: str(value) for key, value in new.attributes.items()},
            "device": {"manufacturer": device.manufacturer, "model": device.model, "sw_version": device.sw_version,
                       "serial_number": device.serial_number, "name": device.name},
        }))

    hass.bus.async_listen(core.EVENT_STATE_CHANGED, changed)
    for component in ("homeassistant", "mqtt"):
        assert await async_setup_component(hass, component, {}), component
    await hass.async_start()
    say("up")
    await asyncio.get_running_loop().create_future()


asyncio.run(main())
