#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace pushhub {

/// A certificate and its key, both in PEM, each as a file or as text.
struct TlsCertificate {
    /// File with the server certificate followed by its intermediates.
    std::string chainFile;
    /// File with the private key, not encrypted. May be the same file.
    std::string keyFile;

    /// The chain as text, instead of a file.
    std::string chainPem{};
    /// The key as text, instead of a file.
    std::string keyPem{};
};

/// Whether the server requests certificates from clients.
enum class ClientCertificates : std::uint8_t {
    none,       ///< No certificate is requested.
    requested,  ///< A certificate is optional. An invalid one fails the TLS handshake.
    required    ///< The TLS handshake fails without a valid certificate.
};

/// Settings of `AsioTlsTransport`. Invalid settings make its constructor and `reload` throw
/// std::invalid_argument naming the option and the reason.
struct TlsOptions {
    /// At least one. A client that names a host (SNI) gets a certificate issued for that name, or
    /// for a wildcard in place of its first label; any other client gets the first certificate. If
    /// several match a name, the client gets one with a key type it supports (ECDSA, RSA, …), and
    /// of those with the same key type the first.
    std::vector<TlsCertificate> certificates{};

    /// Ciphers for TLS 1.2, in order of preference, as an OpenSSL cipher list (`man
    /// openssl-ciphers`). The default contains ciphers with forward secrecy and authenticated
    /// encryption, AES-128 before AES-256 for speed. Ciphers unknown to OpenSSL are ignored, as
    /// long as at least one remains.
    std::string ciphers = "ECDHE+AESGCM+AES128:ECDHE+AESGCM:ECDHE+CHACHA20";

    /// Ciphers for TLS 1.3, in order of preference, separated by colons.
    std::string ciphersuites =
        "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";

    /// See `Handshake::peerSubject` for the client's subject.
    ClientCertificates clientCertificates = ClientCertificates::none;

    /// Certificate authorities trusted for client certificates, in PEM: a file or text.
    std::string clientCaFile{};
    std::string clientCaPem{};
};

}  // namespace pushhub
