// TLS for the load client: OpenSSL over bytes that the client reads and writes itself.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#ifdef PUSHHUB_BENCH_TLS

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

/// What all sessions of the client share. Certificates are not verified: the server is on loopback
/// and was started by the one who measures. All servers get to use the same version and cipher, and
/// no session is resumed. One thread.
class TlsClient {
public:
    using Session = SSL*;

    TlsClient() : context_(::SSL_CTX_new(::TLS_client_method())), method_(makeMethod()) {
        if (!context_ || !method_ ||
            ::SSL_CTX_set_min_proto_version(context_.get(), TLS1_3_VERSION) != 1 ||
            ::SSL_CTX_set_ciphersuites(context_.get(), "TLS_AES_128_GCM_SHA256") != 1 ||
            ::SSL_CTX_set1_groups_list(context_.get(), "X25519") != 1) {
            fail("OpenSSL cannot be set up");
        }
        ::SSL_CTX_set_verify(context_.get(), SSL_VERIFY_NONE, nullptr);
        ::SSL_CTX_set_session_cache_mode(context_.get(), SSL_SESS_CACHE_OFF);
        ::SSL_CTX_set_mode(context_.get(), SSL_MODE_RELEASE_BUFFERS);
        ::SSL_CTX_set_msg_callback(context_.get(), &countRecord);
        ::SSL_CTX_set_msg_callback_arg(context_.get(), this);
        // One for all sessions, since only one at a time is being read from or written to.
        wire_.reset(::BIO_new(method_.get()));
        if (!wire_) {
            fail("no BIO");
        }
        ::BIO_set_data(wire_.get(), this);
        ::BIO_set_init(wire_.get(), 1);
    }

    TlsClient(const TlsClient&) = delete;
    TlsClient& operator=(const TlsClient&) = delete;

    Session open() {
        SSL* const session = ::SSL_new(context_.get());
        if (session == nullptr) {
            fail("no TLS session");
        }
        ::BIO_up_ref(wire_.get());
        ::SSL_set_bio(session, wire_.get(), wire_.get());
        ::SSL_set_connect_state(session);
        return session;
    }

    static void close(Session session) { ::SSL_free(session); }

    /// What arrived for the session that is used next; it has to stay until `read` returns 0.
    void feed(std::string_view bytes) { in_ = bytes; }

    /// True when the TLS handshake is complete.
    bool handshake(Session session) {
        ::ERR_clear_error();
        const int done = ::SSL_do_handshake(session);
        if (done != 1 && ::SSL_get_error(session, done) != SSL_ERROR_WANT_READ) {
            fail("TLS handshake");
        }
        return done == 1;
    }

    /// 0 when all that was fed is used up.
    std::size_t read(Session session, char* buffer, std::size_t size) {
        ::ERR_clear_error();
        std::size_t got = 0;
        if (::SSL_read_ex(session, buffer, size, &got) == 1) {
            return got;
        }
        const int error = ::SSL_get_error(session, 0);
        if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_ZERO_RETURN) {
            fail("TLS");
        }
        return 0;
    }

    void write(Session session, std::string_view bytes) {
        ::ERR_clear_error();
        std::size_t written = 0;
        if (::SSL_write_ex(session, bytes.data(), bytes.size(), &written) != 1) {
            fail("TLS");
        }
    }

    /// What has to be sent for the session that was used last.
    std::string takeOutput() { return std::move(out_); }

    /// Records of application data that arrived, and what is disguised as such.
    std::uint64_t records() const { return records_; }

private:
    struct Free {
        void operator()(SSL_CTX* context) const { ::SSL_CTX_free(context); }
        void operator()(BIO_METHOD* method) const { ::BIO_meth_free(method); }
        void operator()(BIO* bio) const { ::BIO_free(bio); }
    };

    [[noreturn]] static void fail(const std::string& what) {
        const unsigned long code = ::ERR_get_error();
        const char* const reason = ::ERR_reason_error_string(code);
        throw std::runtime_error(what + ": " + (reason != nullptr ? reason : "no reason known"));
    }

    static BIO_METHOD* makeMethod() {
        BIO_METHOD* const method = ::BIO_meth_new(BIO_TYPE_SOURCE_SINK, "load client");
        if (method != nullptr) {
            ::BIO_meth_set_read(method, &readWire);
            ::BIO_meth_set_write(method, &writeWire);
            ::BIO_meth_set_ctrl(method, [](BIO*, int command, long, void*) {
                return command == BIO_CTRL_FLUSH ? 1L : 0L;
            });
        }
        return method;
    }

    static int readWire(BIO* bio, char* buffer, int size) {
        auto& self = *static_cast<TlsClient*>(::BIO_get_data(bio));
        ::BIO_clear_retry_flags(bio);
        const std::size_t take = self.in_.copy(buffer, static_cast<std::size_t>(size));
        self.in_.remove_prefix(take);
        if (take == 0) {
            ::BIO_set_retry_read(bio);
            return -1;
        }
        return static_cast<int>(take);
    }

    static int writeWire(BIO* bio, const char* bytes, int size) {
        static_cast<TlsClient*>(::BIO_get_data(bio))
            ->out_.append(bytes, static_cast<std::size_t>(size));
        return size;
    }

    static void countRecord(int sent, int, int type, const void* bytes, std::size_t, SSL*,
                            void* self) {
        if (sent == 0 && type == SSL3_RT_HEADER &&
            *static_cast<const unsigned char*>(bytes) == SSL3_RT_APPLICATION_DATA) {
            ++static_cast<TlsClient*>(self)->records_;
        }
    }

    std::unique_ptr<SSL_CTX, Free> context_;
    std::unique_ptr<BIO_METHOD, Free> method_;
    std::unique_ptr<BIO, Free> wire_;
    std::string_view in_;
    std::string out_;
    std::uint64_t records_ = 0;
};

#else

class TlsClient {
public:
    using Session = void*;

    TlsClient() { throw std::runtime_error("built without OpenSSL"); }
    Session open() { return nullptr; }
    static void close(Session) {}
    void feed(std::string_view) {}
    bool handshake(Session) { return false; }
    std::size_t read(Session, char*, std::size_t) { return 0; }
    void write(Session, std::string_view) {}
    std::string takeOutput() { return {}; }
    std::uint64_t records() const { return 0; }
};

#endif
