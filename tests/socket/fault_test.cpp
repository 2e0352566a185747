// What happens when the operating system refuses: each call of the loop's thread that has to do
// with sockets fails in turn, in each way that it can.

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstddef>

#include "support/faults.hpp"

using namespace pushhub;
using namespace pushhub::test;
using namespace pushhub::test::faults;

namespace {

int refuse(int error) noexcept {
    errno = error;
    return -1;
}

std::size_t shortened(int fault, std::size_t size) noexcept {
    return fault == oneByte ? std::min<std::size_t>(size, 1) : (size + 1) / 2;
}

}  // namespace

// Asio calls these. The sanitizers have their own, so what is behind them is the system itself.
extern "C" {

int accept4(int socket, sockaddr* address, socklen_t* size, int) {
    const int error = fault(Call::accept);
    if (error != 0 && error != ECONNABORTED && error != EPROTO) {
        return refuse(error);
    }
    const int accepted = acceptSmall(socket, address, size);
    if (accepted >= 0 && error != 0) {
        close(accepted);  // a connection that is aborted has gone
        return refuse(error);
    }
    return accepted;
}

ssize_t send(int socket, const void* data, std::size_t size, int flags) {
    const int error = fault(Call::send);
    if (error > 0) {
        return refuse(error);
    }
    return syscall(SYS_sendto, socket, data, error < 0 ? shortened(error, size) : size, flags,
                   nullptr, 0);
}

ssize_t sendmsg(int socket, const msghdr* message, int flags) {
    const int error = fault(Call::send);
    if (error > 0) {
        return refuse(error);
    }
    if (error == 0) {
        return syscall(SYS_sendmsg, socket, message, flags);
    }
    std::array<iovec, 64> pieces;
    msghdr part = *message;
    part.msg_iov = pieces.data();
    std::size_t size = 0;
    for (std::size_t i = 0; i < message->msg_iovlen; ++i) {
        size += message->msg_iov[i].iov_len;
    }
    size = shortened(error, size);
    for (part.msg_iovlen = 0; size > 0; ++part.msg_iovlen) {
        iovec& piece = pieces[part.msg_iovlen];
        piece = message->msg_iov[part.msg_iovlen];
        piece.iov_len = std::min(piece.iov_len, size);
        size -= piece.iov_len;
    }
    return syscall(SYS_sendmsg, socket, &part, flags);
}

ssize_t recv(int socket, void* data, std::size_t size, int flags) {
    const int error = fault(Call::recv);
    if (error > 0) {
        return refuse(error);
    }
    // Half of what is there, not of the room for it.
    std::size_t wanted = size;
    if (error < 0) {
        const auto there = syscall(SYS_recvfrom, socket, data, size, MSG_PEEK, nullptr, nullptr);
        wanted = there > 0 ? shortened(error, static_cast<std::size_t>(there)) : size;
    }
    return syscall(SYS_recvfrom, socket, data, wanted, flags, nullptr, nullptr);
}

int epoll_ctl(int poller, int operation, int descriptor, epoll_event* event) noexcept {
    const int error = fault(Call::epollCtl);
    return error > 0
               ? refuse(error)
               : static_cast<int>(syscall(SYS_epoll_ctl, poller, operation, descriptor, event));
}

int epoll_wait(int poller, epoll_event* events, int most, int timeout) {
    const int error = fault(Call::epollWait);
    return error > 0 ? refuse(error)
                     : static_cast<int>(
                           syscall(SYS_epoll_pwait, poller, events, most, timeout, nullptr, 0));
}

int ioctl(int descriptor, unsigned long request, ...) noexcept {
    va_list arguments;
    va_start(arguments, request);
    void* const argument = va_arg(arguments, void*);
    va_end(arguments);
    const int error = fault(Call::ioctl);
    return error > 0 ? refuse(error)
                     : static_cast<int>(syscall(SYS_ioctl, descriptor, request, argument));
}

}  // extern "C"

TEMPLATE_LIST_TEST_CASE("A write may be short, refused or fail", "[fault]", SocketTransports) {
    Fixture<TestType> fixture;
    fixture.checkAll(Call::send,
                     {oneByte, halfOfIt, EAGAIN, EINTR, ECONNRESET, EPIPE, ENOBUFS, ENOMEM});
}

TEMPLATE_LIST_TEST_CASE("A read may be short, refused or fail", "[fault]", SocketTransports) {
    Fixture<TestType> fixture;
    fixture.checkAll(Call::recv, {oneByte, halfOfIt, EAGAIN, EINTR, ECONNRESET, ENOBUFS, ENOMEM});
}

TEMPLATE_LIST_TEST_CASE("Waiting for sockets may fail", "[fault]", SocketTransports) {
    Fixture<TestType> fixture;
    fixture.checkAll(Call::epollWait, {EINTR});
    fixture.checkAll(Call::epollCtl, {ENOMEM, ENOSPC});
}

TEMPLATE_LIST_TEST_CASE("A new socket may be refused or have gone", "[fault]", SocketTransports) {
    Fixture<TestType> fixture;
    // The client waits in the listener's queue meanwhile.
    fixture.checkAll(Call::accept, {EAGAIN, EINTR});
    fixture.checkAll(Call::accept, {EMFILE, ENFILE, ENOBUFS, ENOMEM, ECONNABORTED, EPROTO});
    fixture.checkAll(Call::ioctl, {ENOMEM});
}

TEMPLATE_LIST_TEST_CASE("A client that has gone before it is accepted holds up nobody", "[fault]",
                        SocketTransports) {
    const int error = GENERATE(ECONNABORTED, EPROTO);
    Fixture<TestType> fixture;
    SocketClient witness =
        Harness<TestType>::connectSocket(fixture.hub()).opened("/websocket/witness");
    how = error;
    left = 0;
    failing = Call::accept;
    SocketClient gone(fixture.hub().port());
    CHECK(gone.waitForEnd());
    failing = Call::none;
    witness.sendText("are you there?");
    CHECK(witness.readText() == "A");
}
