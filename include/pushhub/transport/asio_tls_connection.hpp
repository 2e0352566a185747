#pragma once

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <pushhub/error.hpp>
#include <pushhub/http/syntax.hpp>
#include <pushhub/transport/asio_connection.hpp>
#include <pushhub/transport/asio_tls_context.hpp>

namespace pushhub::detail {

/// What the TLS connections of a loop share: none of it holds anything between two calls.
struct TlsLoop {
    static constexpr std::size_t maxRecord = 16 * 1024;     // RFC 8446, section 5.1
    static constexpr std::size_t minDirect = 4 * 1024;      // smaller ones are joined first
    static constexpr std::size_t maxBatch = 4 * maxRecord;  // encrypted before the socket is asked

    // Without a new type, of which OpenSSL has but few.
    TlsLoop() : method(BIO_meth_new(BIO_TYPE_SOURCE_SINK, "pushhub")) {}

    std::unique_ptr<BIO_METHOD, OpensslFree<BIO_meth_free>> method;
    std::array<char, maxRecord> plain;   // a record that was decrypted
    std::array<char, maxRecord> joined;  // small buffers that become one record
    std::string out;                     // encrypted, on its way to the socket
};

/// A connection over TLS. OpenSSL never touches the socket: what was read from it is given to
/// OpenSSL, which takes all of it; what OpenSSL writes is collected, and goes to the socket in one
/// write. So OpenSSL never waits to write, and what the socket refuses is kept here.
class AsioTlsConnection final : public AsioConnection {
public:
    AsioTlsConnection(RefPtr<AsioLoop> loop, SessionId id, Socket socket,
                      const Tcp::endpoint& remote, std::shared_ptr<const TlsContextSlot> slot)
        : AsioConnection(std::move(loop), id, std::move(socket), remote), slot_(std::move(slot)) {}

    std::string peerSubject() const override { return subject_ ? *subject_ : std::string(); }

private:
    // A client that makes us answer, and does not read the answers, gets no more of them than this.
    static constexpr std::size_t maxPending = 4 * TlsLoop::maxBatch;

    TlsLoop& tls() const { return asioLoop().shared<TlsLoop>(); }

    // OpenSSL's errors belong to the thread, which may be the host's. To clear what is clear
    // already would be a sixth of what a record costs.
    static void clearErrors() noexcept {
        if (ERR_peek_error() != 0) {
            ERR_clear_error();
        }
    }

    // Reading ------------------------------------------------------------------------------------

    void received(char* data, std::size_t size) override {
        std::error_code error;
        if (plain_) {
            return;  // it has its answer
        }
        if (!ssl_) {
            if (isHttp({data, size})) {
                refusePlain();
                return;
            }
            begin(error);
        }
        in_ = {data, size};
        while (!error) {
            std::array<char, TlsLoop::maxRecord>& plain = tls().plain;
            clearErrors();
            const int read = SSL_read(ssl_.get(), plain.data(), static_cast<int>(plain.size()));
            const int outcome = read > 0 ? SSL_ERROR_NONE : SSL_get_error(ssl_.get(), read);
            if (!established_ && SSL_is_init_finished(ssl_.get())) {
                established(error);
            }
            sendOut(error);
            if (error == std::errc::operation_would_block) {
                waitForSocket();
                error.clear();
            }
            if (error || outcome == SSL_ERROR_WANT_READ) {
                break;
            }
            if (outcome == SSL_ERROR_ZERO_RETURN) {
                receiveEnd({});
                return;
            }
            if (outcome != SSL_ERROR_NONE) {
                if (!established_) {
                    failed(reason());
                }
                error = Errc::tlsFailed;
                break;
            }
            receive(plain.data(), static_cast<std::size_t>(read));
            if (!hasSocket()) {
                return;
            }
        }
        clearErrors();  // the host's thread may look there
        in_ = {};
        if (error) {
            receiveEnd(error);
        } else if (std::exchange(sendWantsInput_, false) && flushWaits_) {
            waitForSocket();
        }
    }

    // A method, or the beginning of one. A record of TLS begins with a small number.
    static bool isHttp(std::string_view bytes) noexcept {
        constexpr std::size_t maxMethod = 32;
        const auto isLetter = [](char c) {
            const char lower = toLowerAscii(c);
            return lower >= 'a' && lower <= 'z';
        };
        const auto end = std::find_if_not(bytes.begin(), bytes.end(), isLetter);
        return end != bytes.begin() && end - bytes.begin() <= std::ptrdiff_t{maxMethod} &&
               (end == bytes.end() || *end == ' ');
    }

    void refusePlain() {
        plain_ = failed_ = true;
        asioLoop().countTlsFailed();
        rejectHandshake({400, "this port speaks TLS: use https:// or wss://\n"});
    }

    bool isBeforeHttp() noexcept override {
        if (!established_ && !plain_ && ssl_) {
            failed("it was not complete within handshakeTimeout");
        }
        return !established_ && !plain_;
    }

    // What OpenSSL complained of first, which may be the client's alert.
    std::string reason() const {
        const char* text = ERR_reason_error_string(ERR_peek_error());
        std::string why = text ? text : "OpenSSL gives no reason";
        if (ERR_GET_REASON(ERR_peek_error()) == SSL_R_CERTIFICATE_VERIFY_FAILED) {
            why += ": ";
            why += X509_verify_cert_error_string(SSL_get_verify_result(ssl_.get()));
        }
        return why;
    }

    // The TLS handshake has failed. Said once.
    void failed(std::string_view why) noexcept {
        if (!std::exchange(failed_, true)) {
            asioLoop().tlsFailed(*this, why);
        }
    }

    // Not before the first bytes, so that who only connects costs no more than a socket.
    void begin(std::error_code& error) {
        context_ = slot_->get();
        ssl_ = context_->makeSsl();
        BIO_METHOD* const method = tls().method.get();
        if (!ssl_ || !method) {
            error = std::make_error_code(std::errc::not_enough_memory);
            return;
        }
        BIO_meth_set_read(method, &readIn);
        BIO_meth_set_write(method, &writeOut);
        BIO_meth_set_ctrl(method, &control);
        BIO* const bio = BIO_new(method);
        if (!bio) {
            error = std::make_error_code(std::errc::not_enough_memory);
            return;
        }
        BIO_set_data(bio, this);
        BIO_set_init(bio, 1);
        SSL_set_bio(ssl_.get(), bio, bio);
    }

    void established(std::error_code& error) {
        established_ = true;
        const X509Ptr certificate = peerCertificate(ssl_.get());
        if (!certificate) {
            return;
        }
        const BioPtr text(BIO_new(BIO_s_mem()));
        if (!text || X509_NAME_print_ex(text.get(), X509_get_subject_name(certificate.get()), 0,
                                        XN_FLAG_RFC2253) < 0) {
            error = std::make_error_code(std::errc::not_enough_memory);
            return;
        }
        char* data = nullptr;
        const long size = BIO_get_mem_data(text.get(), &data);
        subject_ = std::make_unique<const std::string>(data, static_cast<std::size_t>(size));
    }

    // Writing ------------------------------------------------------------------------------------

    std::size_t writeSome(const WriteBuffer* buffers, std::size_t count,
                          std::error_code& error) noexcept override {
        error.clear();
        if (plain_) {
            return AsioConnection::writeSome(buffers, count, error);
        }
        if (!established_) {
            error = Errc::tlsFailed;
            return 0;
        }
        sendPending(error);
        std::size_t taken = 0;
        std::size_t started = 0;  // of the first buffer
        while (!error && count > 0) {
            while (count > 0 && tls().out.size() < TlsLoop::maxBatch) {
                std::string_view record(buffers->data + started, buffers->size - started);
                record = record.substr(0, TlsLoop::maxRecord);
                if (record.size() < TlsLoop::minDirect && count > 1) {
                    record = join(buffers, count, started);
                }
                clearErrors();
                const int written =
                    SSL_write(ssl_.get(), record.data(), static_cast<int>(record.size()));
                if (written <= 0) {
                    // A post-handshake message of the client that has come in part has to be
                    // complete before OpenSSL writes.
                    sendWantsInput_ = SSL_get_error(ssl_.get(), written) == SSL_ERROR_WANT_READ;
                    error = sendWantsInput_ ? std::make_error_code(std::errc::operation_would_block)
                                            : make_error_code(Errc::tlsFailed);
                    clearErrors();
                    break;
                }
                taken += static_cast<std::size_t>(written);
                started += static_cast<std::size_t>(written);
                while (count > 0 && started >= buffers->size) {
                    started -= buffers->size;
                    ++buffers;
                    --count;
                }
            }
            sendOut(error);
        }
        return taken;
    }

    // As much of the buffers as one record holds, behind each other.
    std::string_view join(const WriteBuffer* buffers, std::size_t count,
                          std::size_t started) const noexcept {
        std::array<char, TlsLoop::maxRecord>& joined = tls().joined;
        std::size_t size = 0;
        for (; count > 0 && size < joined.size(); --count, ++buffers) {
            const std::size_t part = (std::min)(buffers->size - started, joined.size() - size);
            std::copy_n(buffers->data + started, part, joined.data() + size);
            size += part;
            started = 0;
        }
        return {joined.data(), size};
    }

    // Gives to the socket what OpenSSL has written, and keeps what that refuses.
    void sendOut(std::error_code& error) noexcept {
        std::string& out = tls().out;
        std::size_t sent = 0;
        std::error_code failed;
        if (pending_.empty() && !out.empty()) {
            sent = send(out, failed);
        }
        if (sent < out.size() && (!failed || failed == std::errc::operation_would_block)) {
            failed = keep(std::string_view(out).substr(sent));
        }
        out.clear();
        if (!error || error == std::errc::operation_would_block) {
            error = failed ? failed : error;
        }
    }

    std::error_code keep(std::string_view rest) noexcept {
        if (pending_.size() + rest.size() > maxPending) {
            return std::make_error_code(std::errc::no_buffer_space);
        }
        try {
            pending_.append(rest);
        } catch (const std::bad_alloc&) {
            return std::make_error_code(std::errc::not_enough_memory);
        }
        return std::make_error_code(std::errc::operation_would_block);
    }

    void sendPending(std::error_code& error) noexcept {
        if (pending_.empty()) {
            return;
        }
        pendingSent_ += send(std::string_view(pending_).substr(pendingSent_), error);
        if (pendingSent_ == pending_.size()) {
            std::string().swap(pending_);
            pendingSent_ = 0;
        } else if (!error) {
            error = std::make_error_code(std::errc::operation_would_block);
        }
    }

    std::size_t send(std::string_view bytes, std::error_code& error) noexcept {
        const WriteBuffer buffer{bytes.data(), bytes.size()};
        return AsioConnection::writeSome(&buffer, 1, error);
    }

    void waitWritable() override {
        flushWaits_ = true;
        waitForSocket();
    }

    void waitForSocket() {
        if (!std::exchange(socketWaits_, true)) {
            AsioConnection::waitWritable();
        }
    }

    void socketWritable() override {
        socketWaits_ = false;
        std::error_code error;
        sendPending(error);
        if (!pending_.empty()) {
            if (error == std::errc::operation_would_block) {
                waitForSocket();
            } else {
                receiveEnd(error);
            }
            return;
        }
        if (ended_) {
            AsioConnection::shutdownSend();
        }
        if (flushWaits_ && !sendWantsInput_) {
            flushWaits_ = false;
            writable();
        }
    }

    // The end ------------------------------------------------------------------------------------

    void shutdownSend() noexcept override {
        if (established_) {
            clearErrors();
            SSL_shutdown(ssl_.get());  // close_notify
            clearErrors();
            std::error_code error;
            sendOut(error);
            if (!pending_.empty()) {
                try {
                    waitForSocket();
                    ended_ = true;
                    return;
                } catch (const std::bad_alloc&) {  // then without
                }
            }
        }
        AsioConnection::shutdownSend();
    }

    void closeSocket() noexcept override {
        if (ssl_ && !established_) {
            failed("the client left in the middle of it");
        }
        ssl_.reset();
        context_.reset();
        std::string().swap(pending_);
        AsioConnection::closeSocket();
    }

    // OpenSSL's side -----------------------------------------------------------------------------

    static int readIn(BIO* bio, char* data, int size) noexcept {
        std::string_view& in = static_cast<AsioTlsConnection*>(BIO_get_data(bio))->in_;
        BIO_clear_retry_flags(bio);
        if (in.empty()) {
            BIO_set_retry_read(bio);
            return -1;
        }
        const std::size_t count = in.copy(data, static_cast<std::size_t>(size));
        in.remove_prefix(count);
        return static_cast<int>(count);
    }

    static int writeOut(BIO* bio, const char* data, int size) noexcept {
        BIO_clear_retry_flags(bio);
        try {
            static_cast<AsioTlsConnection*>(BIO_get_data(bio))
                ->tls()
                .out.append(data, static_cast<std::size_t>(size));
            return size;
        } catch (const std::bad_alloc&) {
            return -1;
        }
    }

    static long control(BIO*, int command, long, void*) noexcept {
        return command == BIO_CTRL_FLUSH ? 1 : 0;
    }

    const std::shared_ptr<const TlsContextSlot> slot_;
    std::shared_ptr<const TlsContext> context_;  // before ssl_, which must not outlive it
    SslPtr ssl_;
    std::unique_ptr<const std::string> subject_;
    std::string_view in_;          // what was read from the socket, and OpenSSL has not taken
    std::string pending_;          // encrypted, refused by the socket
    std::size_t pendingSent_ = 0;  // of pending_
    bool plain_ = false;           // the client does not speak TLS
    bool established_ = false;     // the TLS handshake is done
    bool failed_ = false;          // the TLS handshake, and the handlers were told
    bool ended_ = false;           // end our direction, behind pending_
    bool socketWaits_ = false;     // waits until the socket is writable
    bool flushWaits_ = false;      // `writable` is to be called
    bool sendWantsInput_ = false;  // OpenSSL has to read before it can write
};

}  // namespace pushhub::detail
