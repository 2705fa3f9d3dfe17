"""A Modbus device: pymodbus_peer.py tcp ADDRESS PORT | rtu PATH. Unit 5; says `ready` when it listens.

Holding registers 100 to 139 hold 1000 plus their number. Its extended identification takes several parts.
"""

import asyncio
import sys

from pymodbus import FramerType, ModbusDeviceIdentification
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice


def identity():
    told = ModbusDeviceIdentification(
        info_name={
            "VendorName": "Pymodbus",
            "ProductCode": "PM",
            "VendorUrl": "https://github.com/pymodbus-dev/pymodbus/",
            "ProductName": "Pymodbus Server",
            "ModelName": "Pymodbus Server",
            "MajorMinorRevision": "3.16.1",
        }
    )
    for number in range(0x80, 0x88):
        told[number] = f"object {number:#x} " + "x" * 80
    return told


async def main():
    registers = SimData(100, values=[1000 + number for number in range(100, 140)], datatype=DataType.UINT16)
    device = SimDevice(5, simdata=[registers])
    if sys.argv[1] == "tcp":
        server = ModbusTcpServer([device], identity=identity(), address=(sys.argv[2], int(sys.argv[3])))
    else:
        server = ModbusSerialServer([device], framer=FramerType.RTU, identity=identity(), port=sys.argv[2], baudrate=19200)
    await server.serve_forever(background=True)
    print("ready", flush=True)
    await asyncio.get_running_loop().create_future()


asyncio.run(main())
