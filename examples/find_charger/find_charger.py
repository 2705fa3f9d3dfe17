"""The nearest charger of at least 22 kW, asked of an agent.

find_charger.py http://127.0.0.1:7878            over HTTP, with nothing but Python's own library
find_charger.py mqtt://127.0.0.1:1883/gw-7       through a broker, of the agent gw-7, with paho-mqtt
"""

import json
import queue
import sys
import urllib.parse
import urllib.request
import uuid

QUESTION = {
    "service_name": "charging",
    "constraints": {"location": {"radius_m": 5000}, "resources": {"power_kw": ">=22"}},
}


def over_http(url):
    request = urllib.request.Request(
        url + "/v1/discovery/services", json.dumps(QUESTION).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as reply:
        return json.load(reply)


def over_mqtt(url):
    import paho.mqtt.client as mqtt
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties

    where, replies, ready = urllib.parse.urlparse(url), queue.Queue(), queue.Queue()
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.on_message = lambda _client, _data, message: replies.put(message.payload)
    client.on_subscribe = lambda *_: ready.put(True)
    client.connect(where.hostname, where.port or 1883)
    client.loop_start()
    mine = f"find-charger/{uuid.uuid4()}"
    client.subscribe(mine, qos=1)
    ready.get(timeout=10)
    back = Properties(PacketTypes.PUBLISH)
    back.ResponseTopic = mine
    client.publish("wayside/1/q" + where.path, json.dumps(QUESTION), qos=1, properties=back)
    answer = json.loads(replies.get(timeout=10))
    client.disconnect()
    return answer


answer = over_mqtt(sys.argv[1]) if sys.argv[1].startswith("mqtt:") else over_http(sys.argv[1])
if not answer.get("instances"):
    sys.exit("no charger: " + "; ".join(tier["text"] for tier in answer.get("explain", [])))
first = answer["instances"][0]
print(f"{first['id']} at {first['address']}:{first['port']}, {first['distance_m']:.0f} m away")
