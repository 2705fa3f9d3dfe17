#!/usr/bin/env python3
"""A collector that reads what it gets with OpenTelemetry's own types:  otlp_peer.py PORT [slow]

Prints `port N`, then `span JSON` and `metric JSON` for each that came, or `refused TEXT` for what they do not take. It is
an upstream as well: `POST /v1/discovery/services` is answered with nothing, and its `traceparent` printed. `slow` never
answers.
"""
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from google.protobuf import json_format
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

SLOW = "slow" in sys.argv
LOCK = threading.Lock()


def say(*words):
    with LOCK:
        print(*words, flush=True)


def plain(attributes):
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}


def binary_ids(document):
    """OTLP's JSON has ids in hexadecimal, where protobuf's own has base64."""
    from base64 import b64encode

    if isinstance(document, list):
        return [binary_ids(one) for one in document]
    if not isinstance(document, dict):
        return document
    ids = ("traceId", "spanId", "parentSpanId")
    return {key: b64encode(bytes.fromhex(value)).decode() if key in ids else binary_ids(value)
            for key, value in document.items()}


def traces(body):
    request = json_format.Parse(json.dumps(binary_ids(json.loads(body))), ExportTraceServiceRequest())
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                assert len(span.trace_id) == 16 and len(span.span_id) == 8 and len(span.parent_span_id) in (0, 8)
                say("span", json.dumps({
                    "resource": plain(resource.resource.attributes), "scope": scope.scope.name, "name": span.name,
                    "trace": span.trace_id.hex(), "span": span.span_id.hex(), "parent": span.parent_span_id.hex(),
                    "kind": span.kind, "start": span.start_time_unix_nano, "end": span.end_time_unix_nano,
                    "attributes": plain(span.attributes), "status": span.status.code,
                }))


def metrics(body):
    request = json_format.Parse(body, ExportMetricsServiceRequest())
    told = {}
    for resource in request.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                kind = metric.WhichOneof("data")
                data = getattr(metric, kind)
                [point] = data.data_points
                assert 0 < point.time_unix_nano and point.start_time_unix_nano <= point.time_unix_nano
                one = {"kind": kind}
                if kind == "histogram":
                    assert data.aggregation_temporality == 2
                    one |= {"bounds": list(point.explicit_bounds), "buckets": list(point.bucket_counts),
                            "count": point.count, "sum": point.sum}
                else:
                    one["value"] = point.as_int
                if kind == "sum":
                    assert data.is_monotonic and data.aggregation_temporality == 2
                told[metric.name] = one
    say("metrics", json.dumps(told))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/v1/discovery/services":
            say("traceparent", self.headers.get("traceparent", "none"))
            return self.answer(b'{"instances":[]}')
        if SLOW:
            threading.Event().wait()
        try:
            assert self.headers["content-type"] == "application/json"
            {"/v1/traces": traces, "/v1/metrics": metrics}[self.path](body)
        except Exception as error:
            say("refused", repr(error))
        self.answer(b"{}")

    def answer(self, body):
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
server.daemon_threads = True
say("port", server.server_address[1])
server.serve_forever()
