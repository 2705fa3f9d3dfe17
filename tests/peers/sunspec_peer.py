#!/usr/bin/env python3
"""A SunSpec device whose registers pysunspec2 encodes and pymodbus serves.

    sunspec_peer.py BASE COMMON_LENGTH [PORT]

Prints `port N` once it answers, then `values JSON`: what pysunspec2's own client reads from it, by `MODEL.POINT`.
"""
import asyncio
import json
import socket
import sys
import threading

import sunspec2.device as device
import sunspec2.modbus.client as client
from pymodbus.server import StartAsyncTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

TEXTS = {"Mn": "Acme Solar", "Md": "Mill 5", "Vr": "2.7", "SN": "S-0815", "DA": 1}
INVERTER = {
    "A": 190, "AphA": 63, "AphB": 64, "AphC": 65535, "A_SF": -1, "PhVphA": 2301, "PhVphB": 2299, "PhVphC": 2310,
    "V_SF": -1, "W": 4321, "W_SF": 0, "Hz": 5001, "Hz_SF": -2, "WH": 123456789, "WH_SF": 1, "DCW": -5, "DCW_SF": 2,
    "TmpCab": -32768, "TmpSnk": -75, "Tmp_SF": -1, "St": 4, "Evt1": 0x82,
}
METER = {"W": -1234.5, "Hz": 49.98, "PhVphA": 230.25, "A": 5.5, "TotWhImp": 987654.0, "TotWhExp": float("nan"), "Evt": 0}
STORAGE = {"SoC": 875, "SoC_SF": -1, "V": 4012, "V_SF": -1, "A": -123, "A_SF": -1, "W": -4935, "W_SF": 0, "ChaSt": 3}


def encoded(number, values):
    model = device.Model(number)
    for name, value in values.items():
        model.points[name].value = value
    return bytes(model.get_mb())


def image(common_length):
    common = encoded(1, TEXTS)
    # The standard has a pad after the address; many devices leave it out.
    common = common[: 4 + 2 * common_length]
    common = common[:2] + common_length.to_bytes(2, "big") + common[4:]
    body = b"SunS" + common + encoded(103, INVERTER) + encoded(802, STORAGE) + encoded(213, METER)
    body += b"\xff\xff\x00\x00"
    return [int.from_bytes(body[at:at + 2], "big") for at in range(0, len(body), 2)]


def number(point):
    value = point.cvalue
    if value is None or (isinstance(value, float) and value != value):
        return None
    return value


def read(port):
    seen = client.SunSpecModbusClientDeviceTCP(slave_id=1, ipaddr="127.0.0.1", ipport=port, timeout=5)
    seen.scan()
    values = {}
    for model in (1, 103, 802, 213):
        for name, point in seen.models[model][0].points.items():
            values[f"{model}.{name}"] = number(point)
    seen.close()
    print("values", json.dumps(values), flush=True)


async def main():
    base, common_length = int(sys.argv[1]), int(sys.argv[2])
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", int(sys.argv[3]) if len(sys.argv) > 3 else 0))
        port = free.getsockname()[1]
    served = SimDevice(1, [SimData(base, values=image(common_length), datatype=DataType.REGISTERS)])

    def once_it_answers():
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                pass
        print("port", port, flush=True)
        read(port)

    threading.Thread(target=once_it_answers, daemon=True).start()
    await StartAsyncTcpServer(context=[served], address=("127.0.0.1", port))


asyncio.run(main())
