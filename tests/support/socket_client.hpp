#pragma once

// A blocking WebSocket client on plain sockets, for tests: every wait has a deadline.

#ifdef _WIN32
#include <pushhub/transport/asio_net.hpp>  // Winsock, which Asio starts
#else
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#endif

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <pushhub/close_code.hpp>
#include <pushhub/protocol/client_frame.hpp>
#include <pushhub/protocol/close_payload.hpp>

#include "support/handshake_request.hpp"

namespace pushhub::test {

using Clock = std::chrono::steady_clock;
inline constexpr std::chrono::seconds patience{20};

using protocol::clientFrame;

// What POSIX and Winsock write differently.
#ifdef _WIN32
using Descriptor = SOCKET;
using BufferSize = int;
inline constexpr int closeOnExec = 0;  // nobody starts a program
inline constexpr int noSignal = 0;
inline void ignoreBrokenPipe(Descriptor) {}
inline constexpr int sendingEnd = SD_SEND;
inline int pollSocket(pollfd& waiting, int time) {
    return ::WSAPoll(&waiting, 1, time);
}
inline void closeDescriptor(Descriptor socket) {
    ::closesocket(socket);
}
inline std::error_code socketError() {
    return {::WSAGetLastError(), std::system_category()};
}
#else
using Descriptor = int;
using BufferSize = std::size_t;
#ifdef SOCK_CLOEXEC
inline constexpr int closeOnExec = SOCK_CLOEXEC;
#else
inline constexpr int closeOnExec = 0;
#endif
#ifdef MSG_NOSIGNAL
inline constexpr int noSignal = MSG_NOSIGNAL;
#else
inline constexpr int noSignal = 0;
#endif
inline void ignoreBrokenPipe([[maybe_unused]] Descriptor socket) {
#ifdef SO_NOSIGPIPE
    const int on = 1;
    ::setsockopt(socket, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
#endif
}
inline constexpr int sendingEnd = SHUT_WR;
inline int pollSocket(pollfd& waiting, int time) {
    return ::poll(&waiting, 1, time);
}
inline void closeDescriptor(Descriptor socket) {
    ::close(socket);
}
inline std::error_code socketError() {
    return {errno, std::generic_category()};
}
#endif

class SocketClient {
public:
    struct Frame {
        protocol::Opcode opcode;
        std::string payload;
        bool compressed = false;  // RSV1
    };

    struct Timeout : std::runtime_error {
        Timeout() : std::runtime_error("nothing came from the server in time") {}
    };

    /// What lies between the frames and the socket, such as TLS.
    class Layer {
    public:
        virtual ~Layer() = default;
        virtual void send(SocketClient& socket, std::string_view bytes) = 0;
        /// Appends at least a byte to `unread`; false at the end of the connection.
        virtual bool receive(SocketClient& socket, std::string& unread,
                             std::chrono::milliseconds time) = 0;
    };

    explicit SocketClient(std::uint16_t port, const std::string& address = "127.0.0.1") {
        const bool v6 = address.find(':') != std::string::npos;
        fd_ = ::socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | closeOnExec, 0);
        ignoreBrokenPipe(fd_);
        check(fd_ != none, "socket");
        int result = 0;
        if (v6) {
            sockaddr_in6 to{};
            to.sin6_family = AF_INET6;
            to.sin6_port = htons(port);
            ::inet_pton(AF_INET6, address.c_str(), &to.sin6_addr);
            result = ::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to);
        } else {
            sockaddr_in to{};
            to.sin_family = AF_INET;
            to.sin_port = htons(port);
            ::inet_pton(AF_INET, address.c_str(), &to.sin_addr);
            result = ::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to);
        }
        if (result != 0) {
            const std::error_code error = socketError();
            disconnect();  // there will be no destructor
            throw std::system_error(error, "connect");
        }
        const int on = 1;
        setOption(IPPROTO_TCP, TCP_NODELAY, on);
    }

    /// Connects and opens a session; throws if the answer is not 101.
    static SocketClient open(std::uint16_t port, std::string_view target,
                             std::string_view headers = {}) {
        return SocketClient(port).opened(target, headers);
    }
    SocketClient opened(std::string_view target, std::string_view headers = {}) && {
        const int status = handshake(target, headers);
        if (status != 101) {
            throw std::runtime_error("handshake answered with " + std::to_string(status));
        }
        return std::move(*this);
    }

    SocketClient(SocketClient&& other) noexcept
        : fd_(std::exchange(other.fd_, none)),
          layer_(std::move(other.layer_)),
          unread_(std::move(other.unread_)) {}
    SocketClient& operator=(SocketClient&& other) noexcept {
        std::swap(fd_, other.fd_);
        std::swap(layer_, other.layer_);
        std::swap(unread_, other.unread_);
        return *this;
    }
    ~SocketClient() { disconnect(); }

    Descriptor fd() const noexcept { return fd_; }

    void setLayer(std::unique_ptr<Layer> layer) { layer_ = std::move(layer); }
    Layer* layer() const noexcept { return layer_.get(); }

    void sendBytes(std::string_view bytes) {
        if (layer_) {
            layer_->send(*this, bytes);
        } else {
            sendRaw(bytes);
        }
    }
    void sendRaw(std::string_view bytes) {
        while (!bytes.empty()) {
            const auto sent =
                ::send(fd_, bytes.data(), static_cast<BufferSize>(bytes.size()), noSignal);
            check(sent > 0, "send");
            bytes.remove_prefix(static_cast<std::size_t>(sent));
        }
    }
    void endSending() { ::shutdown(fd_, sendingEnd); }
    void sendText(std::string_view text) { sendBytes(clientFrame(protocol::Opcode::text, text)); }
    void sendClose(CloseCode code, std::string_view reason = {}) {
        sendBytes(clientFrame(protocol::Opcode::close, protocol::closePayload(code, reason)));
    }

    int handshake(std::string_view target, std::string_view headers = {}) {
        sendBytes(handshakeRequest(target, headers));
        return readStatus();
    }

    /// Reads the head of an HTTP answer; its status, or 0 if the connection ended first.
    int readStatus() {
        for (;;) {
            if (const std::optional<int> status = takeStatus()) {
                return *status;
            }
            if (!readMore()) {
                return 0;
            }
        }
    }
    const std::string& head() const noexcept { return head_; }

    /// The status of an HTTP answer whose head has been read; nothing while it is incomplete.
    std::optional<int> takeStatus() {
        const std::size_t end = unread_.find("\r\n\r\n");
        if (end == std::string::npos) {
            return std::nullopt;
        }
        head_ = unread_.substr(0, end + 4);
        unread_.erase(0, end + 4);
        return std::stoi(head_.substr(9, 3));
    }

    /// The next frame; nothing if the connection ended.
    std::optional<Frame> read() {
        for (;;) {
            if (std::optional<Frame> frame = takeFrame()) {
                return frame;
            }
            if (!readMore()) {
                return std::nullopt;
            }
        }
    }

    /// The next frame that has been read; nothing while it is incomplete.
    std::optional<Frame> takeFrame() {
        if (unread_.size() < 2) {
            return std::nullopt;
        }
        const auto code = static_cast<unsigned char>(unread_[1]);
        const std::size_t header = code < 126 ? 2 : code == 126 ? 4 : 10;
        if (unread_.size() < header) {
            return std::nullopt;
        }
        const std::size_t size = protocol::frameSize(unread_.data());
        if (unread_.size() < size) {
            return std::nullopt;
        }
        Frame frame{static_cast<protocol::Opcode>(unread_[0] & 0x0F),
                    unread_.substr(header, size - header), (unread_[0] & 0x40) != 0};
        unread_.erase(0, size);
        return frame;
    }

    /// The next text; throws if something else comes.
    std::string readText() {
        const std::optional<Frame> frame = read();
        if (!frame || frame->opcode != protocol::Opcode::text) {
            throw std::runtime_error(frame ? "expected a text frame" : "connection ended");
        }
        return frame->payload;
    }

    /// Reads up to a close frame and returns its code; `abnormal` if the connection ended first.
    CloseCode readClose() {
        while (const std::optional<Frame> frame = read()) {
            if (frame->opcode == protocol::Opcode::close) {
                std::string_view reason = frame->payload;
                const CloseCode code = protocol::takeCloseCode(reason);
                reason_ = reason;
                return code;
            }
        }
        return CloseCode::abnormal;
    }
    const std::string& closeReason() const noexcept { return reason_; }

    /// What has been read and not been taken apart.
    std::string takeBytes() { return std::exchange(unread_, {}); }

    /// True if the server ends the connection, whatever it sends before.
    bool waitForEnd() {
        while (readMore()) {
        }
        return true;
    }

    /// Closes the socket; with `reset` the server gets an RST.
    void disconnect(bool reset = false) {
        if (fd_ != none) {
            if (reset) {
                const linger now{1, 0};
                setOption(SOL_SOCKET, SO_LINGER, now);
            }
            closeDescriptor(std::exchange(fd_, none));
        }
    }

    /// Reads what is there within `time` into the buffer; false at the end of the connection.
    bool readMore(std::chrono::milliseconds time = patience) {
        return layer_ ? layer_->receive(*this, unread_, time) : readRaw(unread_, time);
    }
    bool readRaw(std::string& unread, std::chrono::milliseconds time = patience) {
        pollfd waiting{fd_, POLLIN, 0};
        const int ready = pollSocket(waiting, static_cast<int>(time.count()));
        if (ready <= 0) {
            throw Timeout();
        }
        std::array<char, 64 * 1024> buffer;
        const auto size = ::recv(fd_, buffer.data(), buffer.size(), 0);
        if (size <= 0) {
            return false;
        }
        unread.append(buffer.data(), static_cast<std::size_t>(size));
        return true;
    }

    /// True if the server sends nothing for as long as this.
    bool nothingComes(std::chrono::milliseconds time) {
        pollfd waiting{fd_, POLLIN, 0};
        return pollSocket(waiting, static_cast<int>(time.count())) == 0;
    }

private:
    static void check(bool good, const char* what) {
        if (!good) {
            throw std::system_error(socketError(), what);
        }
    }

    template <class Value>
    void setOption(int level, int name, const Value& value) {
        ::setsockopt(fd_, level, name, reinterpret_cast<const char*>(&value), sizeof value);
    }

    static constexpr auto none = static_cast<Descriptor>(-1);
    Descriptor fd_ = none;
    std::unique_ptr<Layer> layer_;
    std::string unread_;
    std::string head_;
    std::string reason_;
};

}  // namespace pushhub::test
