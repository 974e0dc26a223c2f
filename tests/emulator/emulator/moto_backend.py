"""moto's server with the gaps closed. Prints its port, and ends when its standard input does."""

import json
import os
import sys
import threading

# Before moto is imported: what Terraform attaches and looks up, and what a service waits for.
os.environ.setdefault("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")

import moto
from werkzeug.serving import WSGIRequestHandler, make_server

from .patching import Gone

WRITTEN_FOR = "5.2.1"


def patch():
    if moto.__version__ != WRITTEN_FOR:
        raise Gone(f"this is moto {moto.__version__}, the patches are for {WRITTEN_FOR}")
    # Each module patches when it is imported.
    from . import budgets, cloudfront, cloudfront_functions, codebuild, dynamodb, dynamodb_replicas  # noqa: F401
    from . import ec2, ecs, s3, scaling, secretsmanager, sns, speed, sqs  # noqa: F401


class Quiet(WSGIRequestHandler):
    """Logs nothing but failures of moto itself."""

    def log_request(self, code="-", size="-"):
        if str(code).startswith("5"):
            super().log_request(code, size)


def main():
    patch()
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

    server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True,
                         request_handler=Quiet)
    server.daemon_threads = True
    # Some parts of moto call themselves over HTTP.
    os.environ["MOTO_PORT"] = str(server.server_port)
    print(json.dumps({"port": server.server_port}), flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    # Whoever started this holds the other end: when it dies, this ends too.
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main()
