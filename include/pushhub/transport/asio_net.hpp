#pragma once

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <system_error>

#include <pushhub/config.hpp>

// The parts of Asio that are used, and no more: they are most of what this library costs to
// compile. In `asio::ip::tcp` would come the resolver and the iostreams, the latter in its
// endpoint, too.
#ifdef PUSHHUB_BOOST_ASIO
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/post.hpp>
#else
#include <asio/basic_socket_acceptor.hpp>
#include <asio/basic_stream_socket.hpp>
#include <asio/basic_waitable_timer.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/address.hpp>
#include <asio/ip/v6_only.hpp>
#include <asio/post.hpp>
#endif

#ifndef _WIN32
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>
#endif

namespace pushhub::detail {

#ifdef PUSHHUB_BOOST_ASIO
namespace net = boost::asio;
using NetError = boost::system::error_code;
using NetException = boost::system::system_error;
#else
namespace net = asio;
using NetError = std::error_code;
using NetException = std::system_error;
#endif

class TcpEndpoint;

/// TCP, as Asio wants a protocol described.
class Tcp {
public:
    using endpoint = TcpEndpoint;
    using socket = net::basic_stream_socket<Tcp>;

    static Tcp v4() noexcept { return Tcp(AF_INET); }
    static Tcp v6() noexcept { return Tcp(AF_INET6); }

    int family() const noexcept { return family_; }
    int type() const noexcept { return SOCK_STREAM; }
    int protocol() const noexcept { return IPPROTO_TCP; }

    friend bool operator==(const Tcp& a, const Tcp& b) noexcept { return a.family_ == b.family_; }
    friend bool operator!=(const Tcp& a, const Tcp& b) noexcept { return a.family_ != b.family_; }

private:
    explicit Tcp(int family) noexcept : family_(family) {}
    int family_;
};

/// Address and port, as Asio wants an endpoint described.
class TcpEndpoint {
public:
    using protocol_type = Tcp;

    TcpEndpoint() noexcept : TcpEndpoint(net::ip::address(), 0) {}
    TcpEndpoint(const net::ip::address& address, std::uint16_t port) noexcept : v6_() {
        if (address.is_v4()) {
            const auto bytes = address.to_v4().to_bytes();
            v4_.sin_family = AF_INET;
            v4_.sin_port = swapped(port);
            std::memcpy(&v4_.sin_addr, bytes.data(), bytes.size());
        } else {
            const auto bytes = address.to_v6().to_bytes();
            v6_.sin6_family = AF_INET6;
            v6_.sin6_port = swapped(port);
            const std::uint64_t scope = address.to_v6().scope_id();  // a long in older Asio
            v6_.sin6_scope_id = static_cast<std::uint32_t>(scope);
            std::memcpy(&v6_.sin6_addr, bytes.data(), bytes.size());
        }
    }

    Tcp protocol() const noexcept { return isV4() ? Tcp::v4() : Tcp::v6(); }

    /// A client of IPv4 has an address of IPv4, whatever the socket: a dual-stack one shows it as
    /// IPv4-mapped (RFC 4291, section 2.5.5.2).
    net::ip::address address() const noexcept {
        if (isV4()) {
            net::ip::address_v4::bytes_type bytes;
            std::memcpy(bytes.data(), &v4_.sin_addr, bytes.size());
            return net::ip::address_v4(bytes);
        }
        net::ip::address_v6::bytes_type bytes;
        std::memcpy(bytes.data(), &v6_.sin6_addr, bytes.size());
        const net::ip::address_v6 v6(bytes, v6_.sin6_scope_id);
        if (v6.is_v4_mapped()) {
            return net::ip::address_v4({bytes[12], bytes[13], bytes[14], bytes[15]});
        }
        return v6;
    }

    std::uint16_t port() const noexcept { return swapped(isV4() ? v4_.sin_port : v6_.sin6_port); }

    sockaddr* data() noexcept { return &base_; }
    const sockaddr* data() const noexcept { return &base_; }
    std::size_t size() const noexcept { return isV4() ? sizeof(v4_) : sizeof(v6_); }
    std::size_t capacity() const noexcept { return sizeof(v6_); }
    void resize(std::size_t) noexcept {}  // the family tells

private:
    bool isV4() const noexcept { return base_.sa_family == AF_INET; }

    // To and from the order of the network.
    static std::uint16_t swapped(std::uint16_t port) noexcept {
        unsigned char bytes[sizeof(port)];
        std::memcpy(bytes, &port, sizeof(port));
        return static_cast<std::uint16_t>(bytes[0] << 8 | bytes[1]);
    }

    union {
        sockaddr base_;
        sockaddr_in v4_;
        sockaddr_in6 v6_;
    };
};

/// "192.0.2.1:80" or "[2001:db8::1]:80".
inline std::string toString(const TcpEndpoint& endpoint) {
    const net::ip::address address = endpoint.address();
    const std::string text = address.to_string();
    return (address.is_v6() ? "[" + text + "]:" : text + ":") + std::to_string(endpoint.port());
}

/// A socket option that is set.
template <int Level, int Name>
class OptionOn {
public:
    template <class Protocol>
    int level(const Protocol&) const noexcept {
        return Level;
    }
    template <class Protocol>
    int name(const Protocol&) const noexcept {
        return Name;
    }
    template <class Protocol>
    const int* data(const Protocol&) const noexcept {
        return &value_;
    }
    template <class Protocol>
    std::size_t size(const Protocol&) const noexcept {
        return sizeof(value_);
    }

private:
    int value_ = 1;
};

/// Small messages leave at once.
using NoDelay = OptionOn<IPPROTO_TCP, TCP_NODELAY>;

/// An acceptor's port: connections of an earlier one do not keep it taken, and nobody else gets it.
#ifdef _WIN32  // where SO_REUSEADDR lets others listen on it, too
using OwnPort = OptionOn<SOL_SOCKET, SO_EXCLUSIVEADDRUSE>;
#else
using OwnPort = OptionOn<SOL_SOCKET, SO_REUSEADDR>;
#endif

using Executor = net::io_context::executor_type;
using Socket = net::basic_stream_socket<Tcp, Executor>;
using Acceptor = net::basic_socket_acceptor<Tcp, Executor>;
using Timer = net::basic_waitable_timer<std::chrono::steady_clock,
                                        net::wait_traits<std::chrono::steady_clock>, Executor>;

/// What the native handles of all sockets of Asio convert to, whatever their protocol.
#ifdef _WIN32
using NativeSocket = SOCKET;
#else
using NativeSocket = int;
#endif

// Descriptors are not inherited by programs that the host starts: otherwise the port stays taken
// and connections stay open as long as such a program lives. Where the system can, it is set by the
// call that makes the descriptor, since another thread may fork at any moment.

/// The latest error of a system call.
inline NetError lastNetError() noexcept {
#ifdef _WIN32
    return NetError(::WSAGetLastError(), net::error::get_system_category());
#else
    return NetError(errno, net::error::get_system_category());
#endif
}

/// Keeps `socket` out of programs that the host starts.
inline void setCloseOnExec(NativeSocket socket) noexcept {
#ifdef _WIN32
    ::SetHandleInformation(reinterpret_cast<HANDLE>(socket), HANDLE_FLAG_INHERIT, 0);
#else
    ::fcntl(socket, F_SETFD, FD_CLOEXEC);
#endif
}

/// Opens an acceptor for `protocol`.
inline void openAcceptor(Acceptor& acceptor, const Tcp& protocol) {
#ifdef SOCK_CLOEXEC
    const int opened = ::socket(protocol.family(), protocol.type() | SOCK_CLOEXEC, IPPROTO_TCP);
    if (opened < 0) {
        throw NetException(lastNetError());
    }
    NetError error;
    acceptor.assign(protocol, opened, error);
    if (error) {
        ::close(opened);
        throw NetException(error);
    }
#else
    acceptor.open(protocol);
    setCloseOnExec(acceptor.native_handle());
#endif
}

/// Listens with a duplicate of `socket`, which has to be a TCP socket that listens.
inline void assignAcceptor(Acceptor& acceptor, int socket) {
#ifdef _WIN32
    static_cast<void>(acceptor);
    static_cast<void>(socket);
    throw NetException(net::error::operation_not_supported);
#else
    const auto has = [socket](int option, int value) {
        int actual = 0;
        socklen_t size = sizeof actual;
        return ::getsockopt(socket, SOL_SOCKET, option, &actual, &size) == 0 && actual == value;
    };
    TcpEndpoint local;
    auto size = static_cast<socklen_t>(local.capacity());
    if (::getsockname(socket, local.data(), &size) != 0) {
        throw NetException(lastNetError());
    }
    const int family = local.data()->sa_family;
    if (!has(SO_TYPE, SOCK_STREAM) || !has(SO_ACCEPTCONN, 1) ||
        (family != AF_INET && family != AF_INET6)) {
        throw NetException(net::error::invalid_argument);
    }
    const int duplicate = ::fcntl(socket, F_DUPFD_CLOEXEC, 0);
    if (duplicate < 0) {
        throw NetException(lastNetError());
    }
    NetError error;
    acceptor.assign(local.protocol(), duplicate, error);
    if (error) {
        ::close(duplicate);
        throw NetException(error);
    }
#endif
}

/// A socket of the operating system on its way from one owner to another.
class SocketHandle {
public:
    explicit SocketHandle(NativeSocket handle) noexcept : handle_(handle) {}
    SocketHandle(const SocketHandle&) = delete;
    SocketHandle& operator=(const SocketHandle&) = delete;
    ~SocketHandle() {
        if (!taken_) {
            net::io_context context;
            Socket socket(context);
            NetError error;
            moveTo(socket, error);  // which closes it
        }
    }

    // The protocol matters only for what is not done with a connected socket.
    void moveTo(Socket& socket, NetError& error) {
        setCloseOnExec(handle_);
        socket.assign(Tcp::v4(), handle_, error);
        taken_ = true;
    }

private:
    const NativeSocket handle_;
    bool taken_ = false;
};

/// An error of Asio as one that compares with std::errc: its own category does not, everywhere.
inline std::error_code standardError(const NetError& error) noexcept {
    if (error.category() != net::error::get_system_category()) {
        return error;
    }
#if defined(_WIN32) && !defined(_MSC_VER)  // where the standard library does not know Winsock's
    switch (error.value()) {
        case WSAEACCES:
            return std::make_error_code(std::errc::permission_denied);
        case WSAEADDRINUSE:
            return std::make_error_code(std::errc::address_in_use);
        case WSAEADDRNOTAVAIL:
            return std::make_error_code(std::errc::address_not_available);
        case WSAECONNABORTED:
            return std::make_error_code(std::errc::connection_aborted);
        case WSAECONNRESET:
            return std::make_error_code(std::errc::connection_reset);
        case WSAEMFILE:
            return std::make_error_code(std::errc::too_many_files_open);
        case WSAENOBUFS:
            return std::make_error_code(std::errc::no_buffer_space);
        case WSAETIMEDOUT:
            return std::make_error_code(std::errc::timed_out);
        default:
            break;
    }
#endif
    return {error.value(), std::system_category()};
}

/// True if the system lacks something to accept a connection with.
inline bool isExhausted(const NetError& error) noexcept {
#ifdef _WIN32
    switch (error.value()) {
        case ERROR_TOO_MANY_OPEN_FILES:
        case ERROR_NOT_ENOUGH_MEMORY:
        case ERROR_NO_SYSTEM_RESOURCES:
            return true;
        default:
            break;
    }
#endif
    return error == net::error::no_descriptors || error == net::error::no_memory ||
           error == net::error::no_buffer_space ||
           standardError(error) == std::errc::too_many_files_open_in_system;
}

/// True if nothing is wrong, and the call has to be made again later.
inline bool wouldBlock(const NetError& error) noexcept {
    return error == net::error::would_block || error == net::error::try_again ||
           error == net::error::interrupted;
}

}  // namespace pushhub::detail
