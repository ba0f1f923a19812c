"""An OpenTelemetry collector that records the OTLP requests that it receives over gRPC.

It implements gRPC itself, because the server compresses spans with zstd, which grpcio does not support.
"""

from __future__ import annotations

import socket
import threading
from typing import Any

import h2.config
import h2.connection
import h2.events
import zstandard
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

REQUESTS: dict[str, type[Any]] = {
    "TraceService": ExportTraceServiceRequest,
    "MetricsService": ExportMetricsServiceRequest,
    "LogsService": ExportLogsServiceRequest,
}


class Collector:
    """Receives spans and metrics on a free local port until the process ends."""

    def __init__(self) -> None:
        self.received: dict[str, list[Any]] = {service: [] for service in REQUESTS}
        """The requests by service."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            connected, _ = self._listener.accept()
            threading.Thread(target=self._serve, args=(connected,), daemon=True).start()

    def _serve(self, connected: socket.socket) -> None:
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        connection.initiate_connection()
        requests: dict[int, tuple[dict[str, str], bytearray]] = {}
        with connected:
            connected.sendall(connection.data_to_send())
            while data := connected.recv(65_536):
                for event in connection.receive_data(data):
                    if isinstance(event, h2.events.RequestReceived):
                        headers = {str(name, "ascii"): str(value, "ascii") for name, value in event.headers}
                        requests[event.stream_id] = headers, bytearray()
                    elif isinstance(event, h2.events.DataReceived):
                        requests[event.stream_id][1].extend(event.data)
                        connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    elif isinstance(event, h2.events.StreamEnded):
                        self._record(*requests.pop(event.stream_id))
                        kind = [(":status", "200"), ("content-type", "application/grpc")]
                        connection.send_headers(event.stream_id, kind)
                        connection.send_data(event.stream_id, bytes(5))
                        connection.send_headers(event.stream_id, [("grpc-status", "0")], end_stream=True)
                connected.sendall(connection.data_to_send())

    def _record(self, headers: dict[str, str], body: bytearray) -> None:
        message = bytes(body[5:])
        if body[0]:
            assert headers["grpc-encoding"] == "zstd"
            message = zstandard.ZstdDecompressor().decompressobj().decompress(message)
        service = headers[":path"].split("/")[1].rpartition(".")[2]
        self.received[service].append(REQUESTS[service].FromString(message))
