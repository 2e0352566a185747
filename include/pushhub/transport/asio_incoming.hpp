#pragma once

#include <utility>

#include <pushhub/transport/asio_net.hpp>

#ifdef PUSHHUB_BOOST_ASIO
#ifdef BOOST_ASIO_HAS_IOCP
#define PUSHHUB_HAS_IOCP 1
#include <boost/asio/windows/overlapped_ptr.hpp>
#endif
#elif defined(ASIO_HAS_IOCP)
#define PUSHHUB_HAS_IOCP 1
#include <asio/windows/overlapped_ptr.hpp>
#endif

#ifdef PUSHHUB_HAS_IOCP
#include <mswsock.h>

#include <cstddef>
#endif

namespace pushhub::detail {

/// The clients that want to connect to an acceptor.
class Incoming {
public:
#ifdef PUSHHUB_HAS_IOCP
    // A completion port cannot tell that a client waits, only that it has accepted one. The socket
    // belongs to no loop until then, so that it can still be dealt to any.

    Incoming() = default;
    Incoming(const Incoming&) = delete;
    Incoming& operator=(const Incoming&) = delete;
    ~Incoming() {
        closeSocket();
    }

    /// Calls `ready`, which has to keep this object, when `accept` has something to tell.
    template <class Handler>
    void wait(Acceptor& acceptor, Handler ready) {
        net::windows::overlapped_ptr operation(
            acceptor.get_executor(),
            [this, ready = std::move(ready)](const NetError& error, std::size_t) mutable {
                error_ = error;
                done_ = true;
                ready();
            });
        closeSocket();
        socket_ = ::WSASocketW(protocolOf(acceptor).family(), SOCK_STREAM, IPPROTO_TCP, nullptr, 0,
                               WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);
        DWORD received = 0;
        if (socket_ != INVALID_SOCKET &&
            (::AcceptEx(acceptor.native_handle(), socket_, addresses_, 0, addressSize, addressSize,
                        &received, operation.get()) ||
             ::WSAGetLastError() == ERROR_IO_PENDING)) {
            operation.release();
        } else {
            operation.complete(lastNetError(), 0);
        }
    }

    /// Accepts a client. An error like that of `accept` of an acceptor that does not block.
    void accept(Acceptor& acceptor, Socket& socket, TcpEndpoint& remote, NetError& error) {
        if (!std::exchange(done_, false)) {
            error = net::error::would_block;
            return;
        }
        error = error_;
        if (!error) {
            SOCKET listening = acceptor.native_handle();
            // Otherwise the socket does not know its addresses.
            ::setsockopt(socket_, SOL_SOCKET, SO_UPDATE_ACCEPT_CONTEXT,
                         reinterpret_cast<const char*>(&listening), sizeof listening);
            socket.assign(protocolOf(acceptor), socket_, error);
        }
        if (!error) {
            socket_ = INVALID_SOCKET;
            remote = socket.remote_endpoint(error);
        }
    }

private:
    static Tcp protocolOf(const Acceptor& acceptor) noexcept {
        NetError ignored;
        return acceptor.local_endpoint(ignored).protocol();
    }

    void closeSocket() noexcept {
        if (socket_ != INVALID_SOCKET) {
            ::closesocket(std::exchange(socket_, INVALID_SOCKET));
        }
    }

    static constexpr DWORD addressSize = sizeof(sockaddr_in6) + 16;  // as AcceptEx wants it

    SOCKET socket_ = INVALID_SOCKET;  // of the next client
    char addresses_[2 * addressSize];
    bool done_ = false;  // `accept` has not been told yet
    NetError error_;
#else
    /// Calls `ready`, which has to keep this object, when `accept` has something to tell.
    template <class Handler>
    void wait(Acceptor& acceptor, Handler ready) {
        acceptor.async_wait(Acceptor::wait_read, std::move(ready));
    }

    /// Accepts a client, like `accept` of an acceptor that does not block.
    void accept(Acceptor& acceptor, Socket& socket, TcpEndpoint& remote, NetError& error) {
#if defined(SOCK_CLOEXEC) && !defined(__APPLE__)
        auto size = static_cast<socklen_t>(remote.capacity());
        const int accepted =
            ::accept4(acceptor.native_handle(), remote.data(), &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (accepted < 0) {
            error = lastNetError();
            return;
        }
        socket.assign(remote.protocol(), accepted, error);
        if (error) {
            ::close(accepted);
        }
#else
        acceptor.accept(socket, remote, error);
        if (!error) {
            setCloseOnExec(socket.native_handle());
        }
#endif
    }
#endif
};

}  // namespace pushhub::detail

#undef PUSHHUB_HAS_IOCP
