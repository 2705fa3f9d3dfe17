"""A BACnet/IP device: bacnet_peer.py ADDRESS INSTANCE NAME MODEL. Says `ready` when it listens."""

import asyncio
import socket
import sys

from bacpypes3.argparse import SimpleArgumentParser
from bacpypes3.app import Application


def free(address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 47808))
        except OSError:
            return False
    return True


async def main():
    address, instance, name, model = sys.argv[1:]
    arguments = SimpleArgumentParser().parse_args(
        ["--address", address, "--instance", instance, "--name", name]
    )
    application = Application.from_args(arguments)
    application.device_object.modelName = model
    application.device_object.vendorName = "Delta Controls"
    application.device_object.firmwareRevision = "3.40"
    # Its socket is bound by a task of its own; until then the port is free.
    while free(address.split("/")[0]):
        await asyncio.sleep(0.02)
    print("ready", flush=True)
    await asyncio.get_running_loop().create_future()


asyncio.run(main())
