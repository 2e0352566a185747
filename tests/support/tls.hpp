#pragma once

// TLS for tests: a client, a transport.

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <pushhub/transport/asio_tls_transport.hpp>

#include "support/certificates.hpp"
#include "support/socket_client.hpp"

namespace pushhub::test {

/// Known to clients, unless they are told of another.
inline const Authority& testAuthority() {
    static const Authority authority;
    return authority;
}

inline TlsOptions testTlsOptions() {
    static const Identity server = testAuthority().issue({{"CN", "localhost"}}, {"DNS:localhost"});
    TlsOptions options;
    options.certificates = {server.forServer()};
    return options;
}

/// TLS with a certificate of the test's, made like an AsioTransport.
class TlsTransport : public AsioTlsTransport {
public:
    explicit TlsTransport(const Options& options) : AsioTlsTransport(options, testTlsOptions()) {}
    TlsTransport(const Options& options, detail::net::io_context& context)
        : AsioTlsTransport(options, testTlsOptions(), context) {}
};

/// What ended TLS: OpenSSL's reason, such as SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL.
struct TlsError : std::runtime_error {
    TlsError(int number, const std::string& text) : std::runtime_error(text), reason(number) {}
    int reason;
};

using SessionTicket = std::unique_ptr<SSL_SESSION, detail::OpensslFree<SSL_SESSION_free>>;

struct TlsClientOptions {
    const char* serverName = "localhost";
    const Authority* authority = nullptr;  // null: testAuthority()
    int version = 0;                       // such as TLS1_2_VERSION; 0: what both know
    std::vector<const char*> protocols{};  // ALPN
    const char* ciphers = nullptr;         // of TLS 1.2
    const char* signatures = nullptr;      // such as "ECDSA+SHA256"
    const Identity* identity = nullptr;
    const SessionTicket* resume = nullptr;
    std::size_t piece = 0;  // most bytes sent at a time, 0 for any number
};

/// The client's side of TLS, on memory: the test sees what goes over the wire.
class TlsLayer final : public SocketClient::Layer {
public:
    explicit TlsLayer(const TlsClientOptions& options)
        : context_(SSL_CTX_new(TLS_client_method())), piece_(options.piece) {
        checkOpenssl(context_ != nullptr, "client");
        SSL_CTX* const context = context_.get();
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
        const Authority& authority = options.authority ? *options.authority : testAuthority();
        X509_STORE_add_cert(SSL_CTX_get_cert_store(context), parse(authority.pem()).get());
        SSL_CTX_set_security_level(context, 0);  // the server refuses what is old, not the client
        SSL_CTX_set_session_cache_mode(context,
                                       SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
        SSL_CTX_sess_set_new_cb(context, [](SSL* ssl, SSL_SESSION* session) {
            static_cast<TlsLayer*>(SSL_get_app_data(ssl))->ticket_ = copyOf(session);
            return 0;
        });
        SSL_CTX_set_keylog_callback(context, [](const SSL* ssl, const char* line) {
            // LABEL RANDOM SECRET, in hexadecimal
            const std::string_view text(line);
            if (text.substr(0, 24) == "CLIENT_TRAFFIC_SECRET_0 ") {
                std::string& secret = static_cast<TlsLayer*>(SSL_get_app_data(ssl))->trafficSecret_;
                for (std::size_t i = text.rfind(' ') + 1; i < text.size(); i += 2) {
                    secret +=
                        static_cast<char>(std::stoi(std::string(text.substr(i, 2)), nullptr, 16));
                }
            }
        });
        checkOpenssl((!options.ciphers || SSL_CTX_set_cipher_list(context, options.ciphers) == 1) &&
                         (!options.signatures ||
                          SSL_CTX_set1_sigalgs_list(context, options.signatures) == 1),
                     "client");
        if (options.version != 0) {
            SSL_CTX_set_min_proto_version(context, options.version);
            SSL_CTX_set_max_proto_version(context, options.version);
        }
        if (options.identity) {
            const detail::BioPtr key(BIO_new_mem_buf(
                options.identity->key.data(), static_cast<int>(options.identity->key.size())));
            const detail::KeyPtr parsed(
                PEM_read_bio_PrivateKey(key.get(), nullptr, nullptr, nullptr));
            checkOpenssl(
                SSL_CTX_use_certificate(context, parse(options.identity->certificate).get()) == 1 &&
                    SSL_CTX_use_PrivateKey(context, parsed.get()) == 1,
                "client certificate");
        }
        std::string protocols;
        for (const std::string_view protocol : options.protocols) {
            protocols += static_cast<char>(protocol.size());
            protocols += protocol;
        }
        SSL_CTX_set_alpn_protos(context, reinterpret_cast<const unsigned char*>(protocols.data()),
                                static_cast<unsigned>(protocols.size()));
        ssl_.reset(SSL_new(context));
        checkOpenssl(ssl_ != nullptr, "client");
        SSL_set_app_data(ssl_.get(), this);
        in_ = BIO_new(BIO_s_mem());
        out_ = BIO_new(BIO_s_mem());
        BIO_set_mem_eof_return(in_, -1);
        SSL_set_bio(ssl_.get(), in_, out_);
        if (options.serverName) {
            SSL_set_tlsext_host_name(ssl_.get(), options.serverName);
            SSL_set1_host(ssl_.get(), options.serverName);
        }
        if (options.resume) {
            SSL_set_session(ssl_.get(), copyOf(options.resume->get()).get());
        }
        SSL_set_connect_state(ssl_.get());
    }

    SSL* ssl() const noexcept { return ssl_.get(); }
    bool gotCloseNotify() const noexcept { return closeNotify_; }

    /// What came last to resume with, null without; a session of TLS 1.3 gets it after a while.
    SessionTicket takeTicket() noexcept { return std::move(ticket_); }

    /// CLIENT_TRAFFIC_SECRET_0 of TLS 1.3.
    const std::string& trafficSecret() const noexcept { return trafficSecret_; }

    std::string peerName() const {
        const detail::X509Ptr certificate = detail::peerCertificate(ssl_.get());
        std::array<char, 256> name{};
        X509_NAME_get_text_by_NID(X509_get_subject_name(certificate.get()), NID_commonName,
                                  name.data(), static_cast<int>(name.size()));
        return name.data();
    }

    /// Runs the TLS handshake; throws TlsError.
    void handshake(SocketClient& socket) {
        run(socket, patience, [this] { return SSL_do_handshake(ssl_.get()); });
    }

    void send(SocketClient& socket, std::string_view bytes) override {
        run(socket, patience,
            [&] { return SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size())); });
    }

    bool receive(SocketClient& socket, std::string& unread,
                 std::chrono::milliseconds time) override {
        std::array<char, 16 * 1024> buffer;
        const int size = run(socket, time, [&] {
            return SSL_read(ssl_.get(), buffer.data(), static_cast<int>(buffer.size()));
        });
        unread.append(buffer.data(), static_cast<std::size_t>(size));
        return size > 0;
    }

    void sendCloseNotify(SocketClient& socket) {
        SSL_shutdown(ssl_.get());
        flush(socket);
    }

    /// Sends what OpenSSL has written.
    void flush(SocketClient& socket) {
        char* data = nullptr;
        const long size = BIO_get_mem_data(out_, &data);
        std::string_view bytes(data, static_cast<std::size_t>(size));
        while (!bytes.empty()) {
            const std::string_view part = bytes.substr(0, piece_ > 0 ? piece_ : bytes.size());
            socket.sendRaw(part);
            bytes.remove_prefix(part.size());
        }
        BIO_reset(out_);
    }

private:
    // A connection that ends without close_notify spoils the original.
    static SessionTicket copyOf(SSL_SESSION* session) {
        return SessionTicket(SSL_SESSION_dup(session));
    }

    static detail::X509Ptr parse(const std::string& pem) {
        const detail::BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
        return detail::X509Ptr(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
    }

    // The result of a call of OpenSSL once it has one; 0 at the end of the connection.
    template <class Function>
    int run(SocketClient& socket, std::chrono::milliseconds time, Function function) {
        for (;;) {
            ERR_clear_error();
            const int result = function();
            const int outcome = SSL_get_error(ssl_.get(), result);
            const unsigned long error = ERR_peek_error();
            flush(socket);
            if (result > 0) {
                return result;
            }
            if (outcome == SSL_ERROR_ZERO_RETURN) {
                closeNotify_ = true;
                return 0;
            }
            if (outcome != SSL_ERROR_WANT_READ) {
                throw TlsError(ERR_GET_REASON(error), ERR_error_string(error, nullptr));
            }
            std::string bytes;
            if (!socket.readRaw(bytes, time)) {
                if (!SSL_is_init_finished(ssl_.get())) {
                    throw TlsError(0, "the connection ended in the TLS handshake");
                }
                return 0;
            }
            BIO_write(in_, bytes.data(), static_cast<int>(bytes.size()));
        }
    }

    detail::SslContextPtr context_;
    detail::SslPtr ssl_;
    BIO* in_ = nullptr;   // of ssl_
    BIO* out_ = nullptr;  // of ssl_
    SessionTicket ticket_;
    std::string trafficSecret_;
    std::size_t piece_;
    bool closeNotify_ = false;
};

/// The TLS of a client that `connectTls` made.
inline TlsLayer& tlsOf(const SocketClient& client) {
    return static_cast<TlsLayer&>(*client.layer());
}

/// A client whose TLS handshake has not begun.
inline SocketClient startTls(std::uint16_t port, const TlsClientOptions& options = {}) {
    SocketClient client(port);
    client.setLayer(std::make_unique<TlsLayer>(options));
    return client;
}

/// A client with TLS; throws TlsError if that is not to be.
inline SocketClient connectTls(std::uint16_t port, const TlsClientOptions& options = {}) {
    SocketClient client = startTls(port, options);
    tlsOf(client).handshake(client);
    return client;
}

}  // namespace pushhub::test
