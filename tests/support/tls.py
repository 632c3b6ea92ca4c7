"""HTTPS in front of servers that speak HTTP: an authority made on the spot, and a port for each server behind.

    tls.py FOLDER PORT ...

Writes FOLDER/ca.pem, prints the ports in the order of those behind, and serves until its input ends.
"""

import datetime
import ipaddress
import socket
import ssl
import sys
import threading
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def certificate(subject, key, issuer, issuer_key, *extensions):
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(issuer_key, hashes.SHA256())


def named(name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def write(path, *parts):
    path.write_bytes(b"".join(parts))
    path.chmod(0o644)


def make(folder):
    """The authority, and a context that shows a certificate of it for 127.0.0.1."""
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = named("an authority of the tests")
    root = certificate(
        authority, authority_key, authority, authority_key,
        (x509.BasicConstraints(ca=True, path_length=None), True),
        (x509.KeyUsage(False, False, False, False, False, True, True, False, False), True),
    )
    leaf = certificate(
        named("127.0.0.1"), key, authority, authority_key,
        (x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False),
        (x509.BasicConstraints(ca=False, path_length=None), True),
    )
    pem = serialization.Encoding.PEM
    write(folder / "ca.pem", root.public_bytes(pem))
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write(folder / "server.pem", leaf.public_bytes(pem), private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    return context


def copy(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass
    for end in (source, sink):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def serve(listener, context, port):
    def connected(client):
        try:
            front = context.wrap_socket(client, server_side=True)
        except OSError:
            return
        behind = socket.create_connection(("127.0.0.1", port))
        threading.Thread(target=copy, args=(front, behind), daemon=True).start()
        copy(behind, front)

    while True:
        client, _ = listener.accept()
        threading.Thread(target=connected, args=(client,), daemon=True).start()


def main(folder, *ports):
    context = make(Path(folder))
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in ports]
    for listener, port in zip(listeners, ports):
        threading.Thread(target=serve, args=(listener, context, int(port)), daemon=True).start()
    print(*(listener.getsockname()[1] for listener in listeners), flush=True)
    sys.stdin.read()


main(*sys.argv[1:])
