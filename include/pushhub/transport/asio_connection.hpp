#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include <pushhub/detail/unacknowledged.hpp>
#include <pushhub/http/proxy_protocol.hpp>
#include <pushhub/transport/asio_loop.hpp>
#include <pushhub/transport/connection_limits.hpp>

namespace pushhub::detail {

/// A connection over TCP. What lies between the socket and WebSocket may derive from it.
class AsioConnection : public Connection {
public:
    AsioConnection(RefPtr<AsioLoop> loop, SessionId id, Socket socket, const Tcp::endpoint& remote)
        : Connection(std::move(loop), id), socket_(std::move(socket)), remote_(remote) {}

    std::string remoteAddress() const override { return toString(remote_); }

    /// Keeps the place among those of its address until the socket is closed.
    void setPlace(std::unique_ptr<AddressLimit::Place> place) noexcept {
        place_ = std::move(place);
    }

    /// The client's first bytes stand behind a header of the PROXY protocol, which tells who it is;
    /// `gate` then says whether it may come. Before `start`.
    void expectProxyHeader(RefPtr<AddressGate> gate) {
        proxyWait_ = std::make_unique<ProxyWait>();
        proxyWait_->gate = std::move(gate);
    }

    /// `data` was read from the socket already.
    static void start(Connection& connection, std::string data) {
        auto& self = static_cast<AsioConnection&>(connection);
        if (!data.empty()) {
            self.received(data.data(), data.size());
        }
        self.readSome();
    }

    /// Does what its socket is ready for, without waiting for it.
    static void visit(Connection& connection) {
        auto& self = static_cast<AsioConnection&>(connection);
        self.orCut([&] { self.readNow(); });
        self.onWritable();
    }

protected:
    AsioLoop& asioLoop() const noexcept { return static_cast<AsioLoop&>(loop()); }

    /// False once it is closed.
    bool hasSocket() const noexcept { return socket_.has_value(); }

    /// Bytes that were read from the socket.
    virtual void received(char* data, std::size_t size) { receive(data, size); }

    /// The socket takes bytes again, after `waitWritable`.
    virtual void socketWritable() { writable(); }

    std::size_t writeSome(const WriteBuffer* buffers, std::size_t count,
                          std::error_code& error) noexcept override {
        NetError failed;
        const std::size_t written =
            count == 1 ? socket_->write_some(net::buffer(buffers->data, buffers->size), failed)
                       : socket_->write_some(Buffers(buffers, count), failed);
        written_ += static_cast<std::uint32_t>(written);
        if (failed) {
            error = wouldBlock(failed) ? std::make_error_code(std::errc::operation_would_block)
                                       : standardError(failed);
        }
        return written;
    }

    std::optional<SendPositions> sendPositions() noexcept override {
        if (const auto left = unacknowledged(socket_->native_handle())) {
            return SendPositions{written_, written_ - *left};
        }
        return std::nullopt;
    }

    void readNow() override {
        visited_ = true;
        readSome();
        visited_ = false;
    }

    void waitWritable() override {
        socket_->async_wait(Socket::wait_write,
                            AsioHandler::of<&AsioConnection::onWritable>(asioLoop(), *this));
    }

    void shutdownSend() noexcept override {
        NetError ignored;
        socket_->shutdown(Socket::shutdown_send, ignored);
    }

    // HTTP comes behind it.
    bool isBeforeHttp() noexcept override { return proxyWait_ != nullptr; }

    void closeSocket() noexcept override {
        if (proxyWait_ && !proxyWait_->bytes.empty()) {
            asioLoop().proxyHeaderRefused(*this, "it is not complete");
        }
        proxyWait_.reset();
        socket_.reset();
        place_.reset();
    }

private:
    void waitReadable() {
        waiting_ = true;
        socket_->async_wait(Socket::wait_read, AsioHandler::of<&AsioConnection::readable>(
                                                   asioLoop(), *this, &readMemory_));
    }

    void readable() {
        orCut([this] { readSome(); });
    }

    // Until the header of the PROXY protocol has come.
    struct ProxyWait {
        RefPtr<AddressGate> gate;
        std::string bytes;  // the part that has come
    };

    void readProxyHeader(char* data, std::size_t size) {
        std::string& waiting = proxyWait_->bytes;
        if (!waiting.empty()) {
            waiting.append(data, size);
            data = waiting.data();
            size = waiting.size();
        }
        const ProxyHeader header = parseProxyHeader({data, size});
        if (header.status == ProxyHeader::State::incomplete) {
            if (waiting.empty()) {
                waiting.assign(data, size);
            }
            return;
        }
        if (header.status == ProxyHeader::State::invalid) {
            proxyWait_.reset();
            asioLoop().proxyHeaderRefused(*this, header.reason);
            abort(Errc::connectionLost);
            return;
        }
        const std::unique_ptr<ProxyWait> done = std::move(proxyWait_);
        if (header.client) {
            remote_ = Tcp::endpoint(net::ip::address_v6(header.client->address.bytes),
                                    static_cast<std::uint16_t>(header.client->port));
            if (!done->gate->enter(header.client->address, place_)) {
                asioLoop().refused(*this, 0, AddressGate::fullReason);
                abort(Errc::connectionLost);  // as if nobody listened
                return;
            }
        }
        if (size > header.consumed) {
            received(data + header.consumed, size - header.consumed);
        }
    }

    // One connection reads a few buffers at most before the others get their turn.
    void readSome() {
        constexpr int maxReads = 4;
        std::array<char, 64 * 1024>& buffer = asioLoop().readBuffer();
        for (int i = 0; i < maxReads && socket_ && !readingPaused(); ++i) {
            NetError error;
            const std::size_t size = socket_->read_some(net::buffer(buffer), error);
            if (error) {
                if (wouldBlock(error)) {
                    break;
                }
                receiveEnd(error == net::error::eof ? std::error_code() : standardError(error));
                return;
            }
            if (proxyWait_) {
                readProxyHeader(buffer.data(), size);
            } else {
                received(buffer.data(), size);
            }
            if (size < buffer.size()) {
                break;
            }
        }
        if (visited_) {
            return;
        }
        waiting_ = false;
        if (socket_ && !readingPaused()) {
            waitReadable();
        }
    }

    void resumeReading() override {
        if (socket_ && !waiting_) {
            waiting_ = true;
            net::post(asioLoop().context(),
                      AsioHandler::of<&AsioConnection::readable>(asioLoop(), *this, &readMemory_));
        }
    }

    // What Asio wants of a buffer sequence, over the buffers as they stand.
    class Buffers {
    public:
        using value_type = net::const_buffer;
        class const_iterator {
        public:
            using value_type = net::const_buffer;
            using difference_type = std::ptrdiff_t;
            using pointer = const value_type*;
            using reference = value_type;
            using iterator_category = std::bidirectional_iterator_tag;

            const_iterator() = default;
            explicit const_iterator(const WriteBuffer* at) : at_(at) {}
            value_type operator*() const { return {at_->data, at_->size}; }
            const_iterator& operator++() {
                ++at_;
                return *this;
            }
            const_iterator operator++(int) { return const_iterator(at_++); }
            const_iterator& operator--() {
                --at_;
                return *this;
            }
            const_iterator operator--(int) { return const_iterator(at_--); }
            bool operator==(const const_iterator& other) const { return at_ == other.at_; }
            bool operator!=(const const_iterator& other) const { return at_ != other.at_; }

        private:
            const WriteBuffer* at_ = nullptr;
        };

        Buffers(const WriteBuffer* buffers, std::size_t count)
            : begin_(buffers), end_(buffers + count) {}
        const_iterator begin() const { return begin_; }
        const_iterator end() const { return end_; }

    private:
        const_iterator begin_;
        const_iterator end_;
    };

    void onWritable() {
        if (socket_) {
            orCut([this] { socketWritable(); });
        }
    }

    std::optional<Socket> socket_;
    Tcp::endpoint remote_;
    std::unique_ptr<ProxyWait> proxyWait_;
    HandlerMemory readMemory_;
    std::unique_ptr<AddressLimit::Place> place_;
    std::uint32_t written_ = 0;  // to the socket, modulo 2^32
    bool waiting_ = false;       // for bytes
    bool visited_ = false;       // reads without having waited
};

}  // namespace pushhub::detail
