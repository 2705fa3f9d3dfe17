"""Says things in mDNS that a neighbour must not believe, or not so many of.

flood.py forged ADDRESS         three answers a browser must refuse, and one it must believe:
                                `port`   multicast from port 9999 instead of 5353
                                `offlink` multicast from 192.0.2.9, which must be an address of this host
                                `unicast` from port 5353 to ADDRESS alone, unasked
                                `honest` multicast from port 5353
flood.py orphans COUNT          SRV and TXT records that no PTR leads to
flood.py spoilt                 one packet: an SRV record cut short, among the records of an instance `beside`
flood.py fat BYTES              an instance `fat` whose TXT has that many, and an instance `slim` after it
flood.py storm RATE SECONDS     new instances, RATE packets a second, each with PTR, SRV, TXT and A
"""

import socket
import struct
import sys
import time

GROUP = ("224.0.0.251", 5353)
PTR, TXT, SRV, A = 12, 16, 33, 1
SHARED, UNIQUE = 0x0001, 0x8001


def name(text):
    return b"".join(bytes([len(label)]) + label.encode() for label in text.split(".")) + b"\0"


def record(owner, kind, klass, ttl, data):
    return name(owner) + struct.pack("!HHIH", kind, klass, ttl, len(data)) + data


def message(*records):
    return struct.pack("!6H", 0, 0x8400, 0, len(records), 0, 0) + b"".join(records)


def instance(label, address, pointer=True, ttl=120):
    full, host = f"{label}._http._tcp.local", f"{label}-host.local"
    records = [
        record(full, SRV, UNIQUE, ttl, struct.pack("!HHH", 0, 0, 80) + name(host)),
        record(full, TXT, UNIQUE, ttl, b"\x03a=1"),
    ]
    if pointer:
        records.insert(0, record("_http._tcp.local", PTR, SHARED, ttl, name(full)))
        records.append(record(host, A, UNIQUE, ttl, socket.inet_aton(address)))
    return message(*records)


def sender(port, address=""):
    out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    out.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    out.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    out.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
    if address:
        out.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
    out.bind((address, port))
    return out


def own_address():
    probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    probe.connect(("10.77.0.254", 9))
    return probe.getsockname()[0]


def forged(victim):
    mine = own_address()
    sender(9999).sendto(instance("port", mine), GROUP)
    sender(5353, "192.0.2.9").sendto(instance("offlink", "192.0.2.9"), GROUP)
    sender(5353).sendto(instance("unicast", mine), (victim, 5353))
    sender(5353).sendto(instance("honest", mine), GROUP)


def orphans(count):
    out = sender(5353)
    for number in range(int(count)):
        out.sendto(instance(f"orphan-{number}", "", pointer=False, ttl=4500), GROUP)
        time.sleep(0.0005)


def spoilt():
    mine = own_address()
    full, host = "beside._http._tcp.local", "beside-host.local"
    out = sender(5353)
    out.sendto(
        message(
            record("_http._tcp.local", PTR, SHARED, 120, name(full)),
            record("broken._http._tcp.local", SRV, UNIQUE, 120, b"\x00"),
            record(full, SRV, UNIQUE, 120, struct.pack("!HHH", 0, 0, 80) + name(host)),
            record(full, TXT, UNIQUE, 120, b"\xffcut"),
            record(full, TXT, UNIQUE, 120, b"\x03a=1"),
            record(host, A, UNIQUE, 120, socket.inet_aton(mine)),
        ),
        GROUP,
    )


def fat(size):
    mine, full, host = own_address(), "fat._http._tcp.local", "fat-host.local"
    pairs = b"".join(b"\xff" + f"k{number:03}=".encode().ljust(255, b"x") for number in range(int(size) // 256))
    out = sender(5353)
    out.sendto(
        message(
            record("_http._tcp.local", PTR, SHARED, 120, name(full)),
            record(full, SRV, UNIQUE, 120, struct.pack("!HHH", 0, 0, 80) + name(host)),
            record(full, TXT, UNIQUE, 120, pairs),
            record(host, A, UNIQUE, 120, socket.inet_aton(mine)),
        ),
        GROUP,
    )
    out.sendto(instance("slim", mine), GROUP)


def storm(rate, seconds):
    out, mine = sender(5353), own_address()
    rate, total, start = int(rate), int(rate) * int(seconds), time.monotonic()
    for number in range(total):
        out.sendto(instance(f"storm-{number}", mine, ttl=4500), GROUP)
        if number % 25 == 0:
            time.sleep(max(0.0, start + number / rate - time.monotonic()))


{"forged": forged, "orphans": orphans, "spoilt": spoilt, "fat": fat, "storm": storm}[sys.argv[1]](*sys.argv[2:])
print("done")
