#pragma once

// The same test over every transport: a hub, clients that connect to it, and a way to wait.
// With TLS too where PUSHHUB_TEST_TLS is set.

#include <chrono>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include <pushhub/push_hub.hpp>
#include <pushhub/transport/asio_transport.hpp>
#include <pushhub/transport/loopback_transport.hpp>

#include "support/any_port.hpp"
#include "support/socket_client.hpp"
#ifdef PUSHHUB_TEST_TLS
#include "support/tls.hpp"
#endif
#include "support/wait.hpp"

namespace pushhub::test {

template <class Transport>
struct Harness;

/// A message as it was on the wire.
struct WireMessage {
    std::string data;
    bool compressed;
};

/// A client of either kind, reduced to what the common tests need.
class AnyClient {
public:
    virtual ~AnyClient() = default;
    virtual void send(std::string_view text) = 0;
    virtual void sendBinary(std::string_view bytes) = 0;
    virtual void sendBytes(std::string_view bytes) = 0;
    virtual void close(CloseCode code) = 0;
    virtual void drop() = 0;
    virtual std::vector<WireMessage> readWire(std::size_t count) = 0;  // the next `count` messages
    virtual CloseCode readClose() = 0;

    std::vector<std::string> read(std::size_t count) {
        std::vector<std::string> messages;
        for (WireMessage& message : readWire(count)) {
            messages.push_back(std::move(message.data));
        }
        return messages;
    }
};
using ClientPtr = std::unique_ptr<AnyClient>;

/// A hub on sockets; `Connect` makes clients by their port.
template <class Transport, SocketClient (*Connect)(std::uint16_t)>
struct SocketHarness {
    using Hub = PushHub<Transport>;

    static Options options() { return anyPort(); }

    /// Waits for something that happens on another thread.
    template <class Predicate>
    static bool until(Hub&, Predicate predicate) {
        return eventually(predicate);
    }

    /// `stop` in a thread, while the test reads what the clients get.
    static std::thread stop(Hub& hub, std::chrono::milliseconds deadline) {
        return std::thread([&hub, deadline] { hub.stop(deadline); });
    }

    static int status(Hub& hub, std::string_view target, std::string_view headers = {}) {
        return connectSocket(hub).handshake(target, headers);
    }

    static ClientPtr connect(Hub& hub, std::string_view target, std::string_view headers = {}) {
        return std::make_unique<Client>(connectSocket(hub).opened(target, headers));
    }

    static SocketClient connectSocket(Hub& hub) { return Connect(hub.port()); }

private:
    class Client final : public AnyClient {
    public:
        explicit Client(SocketClient client) : client_(std::move(client)) {}
        void send(std::string_view text) override { client_.sendText(text); }
        void sendBinary(std::string_view bytes) override {
            client_.sendBytes(clientFrame(protocol::Opcode::binary, bytes));
        }
        void sendBytes(std::string_view bytes) override { client_.sendBytes(bytes); }
        void close(CloseCode code) override { client_.sendClose(code); }
        void drop() override { client_.disconnect(true); }
        std::vector<WireMessage> readWire(std::size_t count) override {
            std::vector<WireMessage> messages;
            while (messages.size() < count) {
                SocketClient::Frame frame = client_.read().value();
                messages.push_back({std::move(frame.payload), frame.compressed});
            }
            return messages;
        }
        CloseCode readClose() override {
            const CloseCode code = client_.readClose();
            client_.sendClose(code);
            return code;
        }

    private:
        SocketClient client_;
    };
};

inline SocketClient connectPlain(std::uint16_t port) {
    return SocketClient(port);
}

template <>
struct Harness<AsioTransport> : SocketHarness<AsioTransport, &connectPlain> {};

#ifdef PUSHHUB_TEST_TLS
inline SocketClient connectByTls(std::uint16_t port) {
    return connectTls(port);
}

template <>
struct Harness<TlsTransport> : SocketHarness<TlsTransport, &connectByTls> {};

using SocketTransports = std::tuple<AsioTransport, TlsTransport>;
using Transports = std::tuple<LoopbackTransport, AsioTransport, TlsTransport>;
#else
using SocketTransports = std::tuple<AsioTransport>;
using Transports = std::tuple<LoopbackTransport, AsioTransport>;
#endif

template <>
struct Harness<LoopbackTransport> {
    using Hub = PushHub<LoopbackTransport>;

    static Options options() { return {}; }

    template <class Predicate>
    static bool until(Hub& hub, Predicate predicate) {
        hub.transport().poll();
        return predicate();
    }

    /// `stop`, which polls the clients too.
    static std::thread stop(Hub& hub, std::chrono::milliseconds deadline) {
        hub.stop(deadline);
        return {};
    }

    static int status(Hub& hub, std::string_view target, std::string_view headers = {}) {
        const auto client = hub.transport().connect(target, headers);
        hub.transport().poll();
        return client->status();
    }

    static ClientPtr connect(Hub& hub, std::string_view target, std::string_view headers = {}) {
        auto client = std::make_unique<Client>(hub, target, headers);
        hub.transport().poll();
        return client;
    }

private:
    class Client final : public AnyClient {
    public:
        Client(Hub& hub, std::string_view target, std::string_view headers)
            : hub_(hub), client_(hub.transport().connect(target, headers)) {}
        void send(std::string_view text) override { client_->send(text); }
        void sendBinary(std::string_view bytes) override { client_->sendBinary(bytes); }
        void sendBytes(std::string_view bytes) override { client_->sendBytes(bytes); }
        void close(CloseCode code) override { client_->close(code); }
        void drop() override { client_->drop(); }
        std::vector<WireMessage> readWire(std::size_t count) override {
            hub_.transport().poll();
            for (LoopbackClient::Received& message : client_->take()) {
                unread_.push_back({std::move(message.data), message.compressed});
            }
            const std::size_t size = std::min(count, unread_.size());
            const auto end = unread_.begin() + static_cast<std::ptrdiff_t>(size);
            std::vector<WireMessage> messages(unread_.begin(), end);
            unread_.erase(unread_.begin(), end);
            return messages;
        }
        CloseCode readClose() override {
            hub_.transport().poll();
            return client_->closeCode().value_or(CloseCode::abnormal);
        }

    private:
        Hub& hub_;
        std::shared_ptr<LoopbackClient> client_;
        std::vector<WireMessage> unread_;
    };
};

/// Opens a client and waits for its session, so that pushes reach it.
template <class H, class Hub>
ClientPtr open(Hub& hub, const std::string& userIdAndQuery, std::string_view headers = {}) {
    const std::size_t before = hub.sessionCount();
    ClientPtr client = H::connect(hub, "/websocket/" + userIdAndQuery, headers);
    if (!H::until(hub, [&] { return hub.sessionCount() == before + 1; })) {
        throw std::runtime_error("no session for /websocket/" + userIdAndQuery);
    }
    return client;
}

}  // namespace pushhub::test
