# SPDX-License-Identifier: Apache-2.0
#
# served.py ROOT WORK: the server of the copy of web-platform-tests in ROOT (tools/wptserve), two ports of http:, two of
# https: and one of HTTP/2 on loopback, and a resolver for its names. Certificates go to WORK. Prints one line of JSON when both serve:
# {"http": [port, port], "https": [port, port], "h2": [port], "dns": "address:port", "ca": "file"}, and ends with its input.
import json
import logging
import multiprocessing
import os
import pathlib
import socketserver
import struct
import sys
import threading

root, work = sys.argv[1:]
os.chdir(root)  # handlers of the server name files from there
sys.path.insert(0, root)
sys.path.insert(0, os.path.join(root, "tools"))
import localpaths  # noqa: E402, F401  (the copy's: it adds what the server needs)
from wptserve import WebTestHttpd, config, routes, stash  # noqa: E402
from wptserve.server import Http2WebTestRequestHandler  # noqa: E402

HOSTS = {"browser_host": "web-platform.test", "alternate_hosts": {"alt": "not-web-platform.test"}}
SUBDOMAINS = {"www", "www1", "www2"}
NOT_SUBDOMAINS = {"nonexistent"}


class Answer(socketserver.BaseRequestHandler):
    """Answers a question for an address with 127.0.0.1, if the server has that name."""

    def handle(self):
        data, socket = self.request
        at, labels = 12, []
        while data[at]:
            labels.append(data[at + 1 : at + 1 + data[at]].decode())
            at += 1 + data[at]
        (kind,) = struct.unpack_from("!H", data, at + 1)
        question = data[12 : at + 5]
        is_known = ".".join(labels).lower() in self.server.names
        records = b"\xc0\x0c" + struct.pack("!HHIH4B", 1, 1, 60, 4, 127, 0, 0, 1) if is_known and kind == 1 else b""
        flags = 0x8180 if is_known else 0x8183  # no such name
        socket.sendto(data[:2] + struct.pack("!HHHHH", flags, 1, 1 if records else 0, 0, 0) + question + records,
                      self.client_address)


def start_resolver(names):
    resolver = socketserver.ThreadingUDPServer(("127.0.0.1", 0), Answer)
    resolver.daemon_threads = True
    resolver.names = {name.lower() for name in names}
    threading.Thread(target=resolver.serve_forever, daemon=True).start()
    return f"127.0.0.1:{resolver.server_address[1]}"


def main():
    logging.disable(logging.CRITICAL)
    logger = logging.getLogger("web-platform-tests")
    certificates = pathlib.Path(work)
    certificates.mkdir(parents=True, exist_ok=True)
    builder = config.ConfigBuilder(
        logger, subdomains=SUBDOMAINS, not_subdomains=NOT_SUBDOMAINS, doc_root=root, server_host="127.0.0.1",
        ports={"http": ["auto", "auto"], "https": ["auto", "auto"], "h2": ["auto"]}, check_subdomains=False,
        ssl={"type": "openssl", "encrypt_after_connect": False,
             "openssl": {"base_path": str(certificates), "force_regenerate": True, "duration": 30}}, **HOSTS)
    with builder as settings, stash.StashServer(mp_context=multiprocessing.get_context("fork")):
        ca = settings.ssl_config["ca_cert_path"]
        for scheme in ("http", "https", "h2"):
            for port in settings.ports[scheme]:
                more = {"handler_cls": Http2WebTestRequestHandler, "http2": True} if scheme == "h2" else {}
                WebTestHttpd(
                    host="127.0.0.1", port=port, doc_root=root, routes=routes.routes, bind_address=True, config=settings,
                    use_ssl=scheme != "http", key_file=settings.ssl_config["key_path"],
                    certificate=settings.ssl_config["cert_path"], **more).start()
        print(json.dumps({**settings.ports, "ca": ca,
                          "dns": start_resolver(settings.domains_set)}), flush=True)
        sys.stdin.read()
    os._exit(0)  # the server's threads would wait for connections that are open


if __name__ == "__main__":
    main()
