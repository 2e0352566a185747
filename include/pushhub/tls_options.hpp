#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace pushhub {

/// A certificate with its key, both in PEM, each from a file or as the text itself.
struct TlsCertificate {
    /// The server's certificate, and behind it those that lead to a root which clients know.
    std::string chainFile;
    /// The private key, not encrypted. May be the same file.
    std::string keyFile;

    /// The text of the chain, instead of a file.
    std::string chainPem{};
    /// The text of the key, instead of a file.
    std::string keyPem{};
};

/// Whether clients are asked for a certificate.
enum class ClientCertificates : std::uint8_t {
    none,       ///< They are not.
    requested,  ///< They may show one. One that is not good ends the TLS handshake.
    required    ///< The TLS handshake fails without a good one.
};

/// Settings of `AsioTlsTransport`. What is wrong with them, its constructor and `reload` tell by
/// throwing std::invalid_argument with the option and the reason.
struct TlsOptions {
    /// At least one. A client that names a host (SNI) gets a certificate that was issued for that
    /// name, or for a wildcard in place of its first label; any other client gets the first of all.
    /// Of several for one name, the client gets one with a key that it knows (ECDSA, RSA, …), and
    /// of those with the same kind of key the first.
    std::vector<TlsCertificate> certificates{};

    /// Ciphers of TLS 1.2, in the order of preference, as a list of OpenSSL's (`man
    /// openssl-ciphers`). By default those with forward secrecy and authenticated encryption,
    /// AES-128 before AES-256 for speed. What OpenSSL does not know is left out, as long as
    /// something remains.
    std::string ciphers = "ECDHE+AESGCM+AES128:ECDHE+AESGCM:ECDHE+CHACHA20";

    /// Ciphers of TLS 1.3, in the order of preference, separated by colons.
    std::string ciphersuites =
        "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";

    /// See `Handshake::peerSubject` for what was shown.
    ClientCertificates clientCertificates = ClientCertificates::none;

    /// Authorities that client certificates have to come from, in PEM: a file or the text itself.
    std::string clientCaFile{};
    std::string clientCaPem{};
};

}  // namespace pushhub
