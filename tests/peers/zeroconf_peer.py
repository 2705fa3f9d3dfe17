"""python-zeroconf as a peer, steered by lines on standard input; it answers each, and tells what it sees.

Its argument is the life of its records in seconds (those of its address: at most 120).

add TYPE NAME PORT [KEY=VALUE ...]   announce            -> added NAME
many TYPE PREFIX COUNT               announce COUNT      -> added COUNT
txt TYPE NAME PORT [KEY=VALUE ...]   change what it says -> changed NAME
bye TYPE NAME                        say goodbye         -> gone NAME
browse TYPE                          look for a type     -> browsing TYPE, then lines `seen + NAME ...`, `seen ~`, `seen -`
"""

import asyncio
import json
import socket
import sys

from zeroconf import InterfaceChoice, IPVersion, ServiceInfo, ServiceStateChange
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

TTL = int(sys.argv[1])


def own_address():
    probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    probe.connect(("10.77.0.254", 9))
    return probe.getsockname()[0]


class Peer:
    def __init__(self):
        self.zeroconf = AsyncZeroconf(interfaces=InterfaceChoice.All, ip_version=IPVersion.V4Only)
        self.infos = {}
        self.browsers = []
        self.tasks = set()

    def info(self, kind, name, port, pairs):
        kind = f"{kind}.local."
        return ServiceInfo(
            kind,
            f"{name}.{kind}",
            addresses=[socket.inet_aton(own_address())],
            port=int(port),
            properties=dict(pair.split("=", 1) for pair in pairs),
            host_ttl=min(TTL, 120),
            other_ttl=TTL,
            server=f"{socket.gethostname().split('.')[0]}-zc.local.",
        )

    async def add(self, kind, name, port, *pairs):
        info = self.info(kind, name, port, pairs)
        self.infos[info.name] = info
        await (await self.zeroconf.async_register_service(info))
        print("added", name)

    async def many(self, kind, prefix, count):
        gate = asyncio.Semaphore(50)

        async def one(number):
            info = self.info(kind, f"{prefix}-{number}", 1024 + number, [f"n={number}"])
            self.infos[info.name] = info
            async with gate:
                await (await self.zeroconf.async_register_service(info, cooperating_responders=True))

        await asyncio.gather(*(one(number) for number in range(int(count))))
        print("added", count)

    async def txt(self, kind, name, port, *pairs):
        info = self.info(kind, name, port, pairs)
        self.infos[info.name] = info
        await (await self.zeroconf.async_update_service(info))
        print("changed", name)

    async def bye(self, kind, name):
        await (await self.zeroconf.async_unregister_service(self.infos.pop(f"{name}.{kind}.local.")))
        print("gone", name)

    async def browse(self, kind):
        self.browsers.append(
            AsyncServiceBrowser(self.zeroconf.zeroconf, f"{kind}.local.", handlers=[self.changed])
        )
        print("browsing", kind)

    def changed(self, zeroconf, service_type, name, state_change):
        task = asyncio.ensure_future(self.tell(zeroconf, service_type, name, state_change))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def tell(self, zeroconf, service_type, name, state_change):
        if state_change is ServiceStateChange.Removed:
            print("seen -", name)
            return
        sign = "+" if state_change is ServiceStateChange.Added else "~"
        info = AsyncServiceInfo(service_type, name)
        if not await info.async_request(zeroconf, 5000):
            print("seen ?", name)
            return
        txt = {key.decode(): (value or b"").decode(errors="replace") for key, value in info.properties.items()}
        print("seen", sign, name, ",".join(info.parsed_addresses()), info.port, json.dumps(txt, sort_keys=True))

    async def obey(self):
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        print("ready")
        while line := await reader.readline():
            words = line.decode().split()
            verb = {"add": self.add, "many": self.many, "txt": self.txt, "bye": self.bye, "browse": self.browse}
            await verb[words[0]](*words[1:])
        await self.zeroconf.async_close()


async def main():
    await Peer().obey()


asyncio.run(main())
