"""paho-mqtt as a peer over MQTT 5.

paho_peer.py PORT announce TOPIC JSON     publishes a retained announcement           -> announced
paho_peer.py PORT ask AGENT JSON          asks over request/response, waits 10 s      -> correlated true|false, then the answer
"""

import sys
import threading

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

REPLIES = "test/replies"
CORRELATION = b"\x00question-7\xff"


def connected(port):
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="paho-peer", protocol=mqtt.MQTTv5)
    client.connect("127.0.0.1", port)
    client.loop_start()
    return client


def announce(client, topic, text):
    client.publish(topic, text, qos=1, retain=True).wait_for_publish(10)
    print("announced")


def ask(client, agent, text):
    answered = threading.Event()

    def hear(_client, _data, message):
        print("correlated", str(getattr(message.properties, "CorrelationData", None) == CORRELATION).lower())
        print(message.payload.decode())
        answered.set()

    subscribed = threading.Event()
    client.on_message = hear
    client.on_subscribe = lambda *_: subscribed.set()
    client.subscribe(REPLIES, qos=1)
    subscribed.wait(10)
    properties = Properties(PacketTypes.PUBLISH)
    properties.ResponseTopic = REPLIES
    properties.CorrelationData = CORRELATION
    client.publish(f"wayside/1/q/{agent}", text, qos=1, properties=properties)
    if not answered.wait(10):
        sys.exit("no answer within 10 s")


def main():
    client = connected(int(sys.argv[1]))
    {"announce": announce, "ask": ask}[sys.argv[2]](client, *sys.argv[3:])
    client.disconnect()


main()
