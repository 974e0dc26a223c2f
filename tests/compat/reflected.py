"""A gRPC client without generated code: services, messages and methods come from the server's reflection."""

from types import SimpleNamespace

import grpc
from google.protobuf import json_format, message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from google.rpc import error_details_pb2
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status

TIMEOUT = 30


class Reflection(ProtoReflectionDescriptorDatabase):
    """Google's client asks for v1alpha, the name before reflection became stable. The messages are the same in v1."""

    def __init__(self, channel):
        super().__init__(channel)
        ask = channel.stream_stream(
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        self._stub = SimpleNamespace(ServerReflectionInfo=ask)


class Server:
    """Everything that a server offers, callable by name: `call("content.v1.ContentService/GetEntry", {...})`."""

    def __init__(self, address, key):
        self.channel = grpc.insecure_channel(address)
        self.key = key
        reflection = Reflection(self.channel)
        pool = DescriptorPool(reflection)
        self.services = {name: pool.FindServiceByName(name) for name in sorted(reflection.get_services())}
        self.called = set()

    def methods(self, prefix):
        """Full names of every method of the services whose name begins so."""
        found = {}
        for name, service in self.services.items():
            if name.startswith(prefix):
                found.update({f"{name}/{method.name}": method for method in service.methods})
        return found

    def start(self, name, fields, key=None):
        """Begins a call; a stream is returned as the running call, anything else as the response."""
        service, method_name = name.split("/")
        method = self.services[service].methods_by_name[method_name]
        request = json_format.ParseDict(fields, message_factory.GetMessageClass(method.input_type)())
        answer = message_factory.GetMessageClass(method.output_type)
        make = self.channel.unary_stream if method.server_streaming else self.channel.unary_unary
        stub = make(f"/{name}", request_serializer=type(request).SerializeToString, response_deserializer=answer.FromString)
        key = self.key if key is None else key
        return stub(request, timeout=TIMEOUT, metadata=[("authorization", f"Bearer {key}")] if key else [])

    def call(self, name, fields, key=None):
        """One request, one response."""
        response = self.start(name, fields, key)
        self.called.add(name)
        return response

    def stream(self, name, fields):
        """A running stream, whose headers have come: whatever happens from now on is in it."""
        stream = self.start(name, fields)
        stream.initial_metadata()
        self.called.add(name)
        return stream

    def refused(self, name, fields, code, key=None):
        """Expects an error with this code; returns its google.rpc.ErrorInfo and the fields of its BadRequest."""
        try:
            answer = self.start(name, fields, key)
            if hasattr(answer, "initial_metadata"):
                next(answer)
        except grpc.RpcError as error:
            assert error.code() == getattr(grpc.StatusCode, code), f"{name}: {error.code()} {error.details()}, not {code}"
            status = rpc_status.from_call(error)
            assert status is not None, f"{name}: {code} without google.rpc.Status"
            info, violations = None, []
            for detail in status.details:
                if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
                    info = error_details_pb2.ErrorInfo()
                    detail.Unpack(info)
                elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
                    bad = error_details_pb2.BadRequest()
                    detail.Unpack(bad)
                    violations += [violation.field for violation in bad.field_violations]
            assert info and info.reason and info.domain, f"{name}: {code} without google.rpc.ErrorInfo"
            return SimpleNamespace(reason=info.reason, fields=violations, message=error.details())
        raise AssertionError(f"{name} was not refused with {code}")


def word(message, field):
    """The name of an enum field's value."""
    return message.DESCRIPTOR.fields_by_name[field].enum_type.values_by_number[getattr(message, field)].name


def plain(message):
    """A message as the dictionary that a request can be made of."""
    return json_format.MessageToDict(message, preserving_proto_field_name=True)
