// The floor of the benchmarks: what the kernel charges for a push, with as little as possible
// around it. Raw epoll; a frame is prepared once and shared by all receivers.
//
//   --mode send   one send() for each delivery: what a server pays that never gathers (default)
//   --mode join   frames that already wait are joined: one write for each session and batch
//
// Not an example of a server: it trusts its peers and knows short, unfragmented text messages only.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <deque>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "support.hpp"

namespace {

using Frame = std::shared_ptr<const std::string>;

constexpr std::size_t kJoinedFrame = 4096;  // larger frames are not copied into blocks
constexpr std::size_t kJoinedBlock = 64 * 1024;
constexpr std::size_t kGather = 256;  // buffers of one write

std::string sha1(std::string text) {
    std::array<std::uint32_t, 5> h{0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
    const std::uint64_t bits = std::uint64_t{text.size()} * 8;
    text.push_back(static_cast<char>(0x80));
    while (text.size() % 64 != 56) {
        text.push_back('\0');
    }
    for (int shift = 56; shift >= 0; shift -= 8) {
        text.push_back(static_cast<char>(bits >> static_cast<unsigned>(shift)));
    }
    const auto rotate = [](std::uint32_t value, unsigned by) {
        return value << by | value >> (32U - by);
    };
    for (std::size_t block = 0; block < text.size(); block += 64) {
        std::array<std::uint32_t, 80> w{};
        for (std::size_t i = 0; i < 16; ++i) {
            for (std::size_t j = 0; j < 4; ++j) {
                w[i] = w[i] << 8U | static_cast<unsigned char>(text[block + i * 4 + j]);
            }
        }
        for (std::size_t i = 16; i < 80; ++i) {
            w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
        }
        auto [a, b, c, d, e] = h;
        for (std::size_t i = 0; i < 80; ++i) {
            std::uint32_t f = b ^ c ^ d;
            std::uint32_t k = i < 40 ? 0x6ED9EBA1 : 0xCA62C1D6;
            if (i < 20) {
                f = (b & c) | (~b & d);
                k = 0x5A827999;
            } else if (i >= 40 && i < 60) {
                f = (b & c) | (b & d) | (c & d);
                k = 0x8F1BBCDC;
            }
            const std::uint32_t next = rotate(a, 5) + f + e + k + w[i];
            e = d;
            d = c;
            c = rotate(b, 30);
            b = a;
            a = next;
        }
        h = {h[0] + a, h[1] + b, h[2] + c, h[3] + d, h[4] + e};
    }
    std::string digest;
    for (const std::uint32_t word : h) {
        for (int shift = 24; shift >= 0; shift -= 8) {
            digest.push_back(static_cast<char>(word >> static_cast<unsigned>(shift)));
        }
    }
    return digest;
}

std::string base64(const std::string& bytes) {
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string out;
    for (std::size_t i = 0; i < bytes.size(); i += 3) {
        std::uint32_t group = 0;
        for (std::size_t j = 0; j < 3; ++j) {
            group = group << 8U |
                    (i + j < bytes.size() ? static_cast<unsigned char>(bytes[i + j]) : 0U);
        }
        for (std::size_t j = 0; j < 4; ++j) {
            const bool padding = i + j > bytes.size();
            out.push_back(padding ? '=' : alphabet[group >> (18U - 6U * j) & 63U]);
        }
    }
    return out;
}

std::string makeFrame(std::string_view text) {
    std::string frame;
    frame.reserve(text.size() + 10);
    frame.push_back(static_cast<char>(0x81));
    if (text.size() < 126) {
        frame.push_back(static_cast<char>(text.size()));
    } else if (text.size() < 65536) {
        frame.push_back(126);
        frame.push_back(static_cast<char>(text.size() >> 8U));
        frame.push_back(static_cast<char>(text.size()));
    } else {
        frame.push_back(127);
        for (int shift = 56; shift >= 0; shift -= 8) {
            frame.push_back(
                static_cast<char>(std::uint64_t{text.size()} >> static_cast<unsigned>(shift)));
        }
    }
    frame.append(text);
    return frame;
}

void check(bool ok, const char* what) {
    if (!ok) {
        std::perror(what);
        std::exit(1);
    }
}

class Server;

struct Connection {
    int fd = -1;
    bool upgraded = false;
    bool dirty = false;    // join mode: in the list of sessions to flush
    bool blocked = false;  // waits for EPOLLOUT
    unsigned loop = 0;
    std::size_t place = 0;  // in the loop's list
    std::string user;
    std::string in;  // incomplete input only
    std::unique_ptr<std::deque<Frame>> queue;
    std::size_t offset = 0;  // bytes of the first frame already sent
};

struct Job {
    Frame frame;
    Connection* to = nullptr;  // nullptr: everybody
};

class Loop {
public:
    Loop(Server& server, unsigned index, std::uint16_t port, bool join);
    void run();
    void post(Job job);
    void post(std::vector<Job> jobs);
    std::uint16_t port() const;

private:
    void wake();
    void acceptAll();
    void drain();
    void read(Connection& connection);
    void upgrade(Connection& connection, std::string_view input);
    std::size_t parse(Connection& connection, std::string_view input);
    void deliver(Connection& connection, const Frame& frame);
    void enqueue(Connection& connection, const Frame& frame);
    void flush(Connection& connection);
    void wait(Connection& connection, bool forOut);
    void remove(Connection& connection);

    Server& server_;
    const unsigned index_;
    const bool join_;
    int epoll_ = -1;
    int event_ = -1;
    int listener_ = -1;
    std::vector<char> buffer_ = std::vector<char>(64 * 1024);
    std::vector<Connection*> connections_;
    std::vector<Connection*> dirty_;
    std::mutex mutex_;
    std::vector<Job> inbox_;
    std::vector<Job> batch_;
};

class Server {
public:
    explicit Server(const bench::Arguments& arguments) : commands(*this, arguments) {
        std::uint16_t port = arguments.port;
        for (unsigned i = 0; i < arguments.threads; ++i) {
            loops_.push_back(std::make_unique<Loop>(*this, i, port, arguments.mode == "join"));
            port = loops_.front()->port();
        }
        bench::printReady(port);
        for (unsigned i = 1; i < arguments.threads; ++i) {
            std::thread([this, i] { loops_[i]->run(); }).detach();
        }
        loops_[0]->run();
    }

    void add(Connection& connection) {
        const std::lock_guard lock(mutex_);
        users_[connection.user] = &connection;
    }

    void remove(Connection& connection) {
        const std::lock_guard lock(mutex_);
        const auto found = users_.find(connection.user);
        if (found != users_.end() && found->second == &connection) {
            users_.erase(found);
        }
    }

    std::vector<std::string> users() {
        const std::lock_guard lock(mutex_);
        std::vector<std::string> names;
        for (const auto& entry : users_) {
            names.push_back(entry.first);
        }
        return names;
    }

    void sendAll(const std::string& text) {
        const auto frame = std::make_shared<const std::string>(makeFrame(text));
        for (const auto& loop : loops_) {
            loop->post({frame, nullptr});
        }
    }

    void sendOne(const std::string& user, const std::string& text) {
        if (Connection* const to = find(user)) {
            loops_[to->loop]->post({std::make_shared<const std::string>(makeFrame(text)), to});
        }
    }

    void sendMore(const std::vector<std::string>& users, const std::string& text) {
        const auto frame = std::make_shared<const std::string>(makeFrame(text));
        std::vector<std::vector<Job>> jobs(loops_.size());
        for (const std::string& user : users) {
            if (Connection* const to = find(user)) {
                jobs[to->loop].push_back({frame, to});
            }
        }
        for (std::size_t i = 0; i < loops_.size(); ++i) {
            loops_[i]->post(std::move(jobs[i]));
        }
    }

    bench::Commands<Server> commands;

private:
    Connection* find(const std::string& user) {
        const std::lock_guard lock(mutex_);
        const auto found = users_.find(user);
        return found == users_.end() ? nullptr : found->second;
    }

    std::vector<std::unique_ptr<Loop>> loops_;
    std::mutex mutex_;
    std::unordered_map<std::string, Connection*> users_;
};

Loop::Loop(Server& server, unsigned index, std::uint16_t port, bool join)
    : server_(server), index_(index), join_(join) {
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    event_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    check(epoll_ >= 0 && event_ >= 0 && listener_ >= 0, "socket");
    const int on = 1;
    setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(listener_, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    check(bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0, "bind");
    check(listen(listener_, 1024) == 0, "listen");
    for (int* fd : {&event_, &listener_}) {
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.ptr = fd;
        epoll_ctl(epoll_, EPOLL_CTL_ADD, *fd, &event);
    }
}

std::uint16_t Loop::port() const {
    sockaddr_in address{};
    socklen_t size = sizeof address;
    getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    return ntohs(address.sin_port);
}

void Loop::wake() {
    const std::uint64_t one = 1;
    check(::write(event_, &one, sizeof one) == sizeof one, "eventfd");
}

void Loop::post(Job job) {
    bool first = false;
    {
        const std::lock_guard lock(mutex_);
        first = inbox_.empty();
        inbox_.push_back(std::move(job));
    }
    if (first) {
        wake();
    }
}

void Loop::post(std::vector<Job> jobs) {
    if (jobs.empty()) {
        return;
    }
    bool first = false;
    {
        const std::lock_guard lock(mutex_);
        first = inbox_.empty();
        inbox_.insert(inbox_.end(), std::make_move_iterator(jobs.begin()),
                      std::make_move_iterator(jobs.end()));
    }
    if (first) {
        wake();
    }
}

void Loop::run() {
    std::array<epoll_event, 512> events{};
    for (;;) {
        const int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), -1);
        for (int i = 0; i < count; ++i) {
            const epoll_event& event = events[static_cast<std::size_t>(i)];
            if (event.data.ptr == &event_) {
                drain();
            } else if (event.data.ptr == &listener_) {
                acceptAll();
            } else {
                Connection& connection = *static_cast<Connection*>(event.data.ptr);
                if ((event.events & EPOLLOUT) != 0) {
                    flush(connection);
                }
                if ((event.events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
                    read(connection);
                }
            }
        }
    }
}

void Loop::acceptAll() {
    for (;;) {
        const int fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            return;
        }
        const int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        // Never freed: a business thread may still hold the pointer. The process is short-lived.
        auto* const connection = new Connection;
        connection->fd = fd;
        connection->loop = index_;
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.ptr = connection;
        epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
    }
}

void Loop::read(Connection& connection) {
    if (connection.fd < 0) {
        return;
    }
    const ssize_t got = ::recv(connection.fd, buffer_.data(), buffer_.size(), 0);
    if (got <= 0) {
        if (got == 0 || errno != EAGAIN) {
            remove(connection);
        }
        return;
    }
    std::string_view input(buffer_.data(), static_cast<std::size_t>(got));
    if (!connection.in.empty()) {
        connection.in.append(input);
        input = connection.in;
    }
    std::size_t used = 0;
    if (connection.upgraded) {
        used = parse(connection, input);
    } else if (input.size() >= 4 && input.substr(input.size() - 4) == "\r\n\r\n") {
        upgrade(connection, input);
        used = input.size();
    }
    if (used == input.size()) {
        connection.in = std::string();
    } else {
        connection.in = std::string(input.substr(used));
    }
}

void Loop::upgrade(Connection& connection, std::string_view input) {
    static const std::string_view keyName = "Sec-WebSocket-Key: ";
    const std::string_view path = input.substr(4, input.find(' ', 4) - 4);
    std::size_t key = input.find(keyName);
    if (key == std::string_view::npos) {
        remove(connection);
        return;
    }
    key += keyName.size();
    std::string accept(input.substr(key, input.find('\r', key) - key));
    accept = base64(sha1(accept.append("258EAFA5-E914-47DA-95CA-C5AB0DC85B11")));
    const std::string response =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: " +
        accept + "\r\n\r\n";
    connection.user = std::string(bench::userOf(path));
    connection.upgraded = true;
    connection.place = connections_.size();
    connections_.push_back(&connection);
    server_.add(connection);
    if (::send(connection.fd, response.data(), response.size(), MSG_NOSIGNAL) < 0) {
        remove(connection);
    }
}

std::size_t Loop::parse(Connection& connection, std::string_view input) {
    std::size_t used = 0;
    while (input.size() - used >= 6) {
        const auto* const bytes = reinterpret_cast<const unsigned char*>(input.data()) + used;
        const std::size_t length = bytes[1] & 0x7FU;
        if (length > 125 || (bytes[0] & 0x0FU) == 8) {
            remove(connection);
            return input.size();
        }
        if (input.size() - used < 6 + length) {
            break;
        }
        std::array<char, 125> text;
        for (std::size_t i = 0; i < length; ++i) {
            text[i] = static_cast<char>(bytes[6 + i] ^ bytes[2 + i % 4]);
        }
        used += 6 + length;
        if ((bytes[0] & 0x0FU) == 1) {
            if (const auto reply = server_.commands.handle({text.data(), length})) {
                deliver(connection, std::make_shared<const std::string>(makeFrame(*reply)));
            }
        }
    }
    return used;
}

void Loop::drain() {
    std::uint64_t ignored = 0;
    [[maybe_unused]] const ssize_t got = ::read(event_, &ignored, sizeof ignored);
    {
        const std::lock_guard lock(mutex_);
        batch_.swap(inbox_);
    }
    if (!join_) {
        for (const Job& job : batch_) {
            if (job.to != nullptr) {
                deliver(*job.to, job.frame);
                continue;
            }
            for (std::size_t i = 0; i < connections_.size(); ++i) {
                deliver(*connections_[i], job.frame);
            }
        }
        batch_.clear();
        return;
    }
    for (std::size_t i = 0; i < batch_.size();) {
        if (batch_[i].to != nullptr) {
            enqueue(*batch_[i].to, batch_[i].frame);
            ++i;
            continue;
        }
        // A run of broadcasts: small frames become blocks that all sessions share.
        Frame block = batch_[i].frame;
        std::size_t last = i + 1;
        if (block->size() <= kJoinedFrame) {
            std::string joined = *block;
            for (; last < batch_.size() && batch_[last].to == nullptr &&
                   batch_[last].frame->size() <= kJoinedFrame &&
                   joined.size() + batch_[last].frame->size() <= kJoinedBlock;
                 ++last) {
                joined.append(*batch_[last].frame);
            }
            if (last > i + 1) {
                block = std::make_shared<const std::string>(std::move(joined));
            }
        }
        const bool alone = i == 0 && last == batch_.size();
        for (std::size_t j = 0; j < connections_.size(); ++j) {
            if (alone) {
                deliver(*connections_[j], block);
            } else {
                enqueue(*connections_[j], block);
            }
        }
        i = last;
    }
    batch_.clear();
    for (Connection* const connection : dirty_) {
        connection->dirty = false;
        if (!connection->blocked) {
            flush(*connection);
        }
    }
    dirty_.clear();
}

void Loop::deliver(Connection& connection, const Frame& frame) {
    if (connection.fd < 0) {
        return;
    }
    std::size_t sent = 0;
    if (connection.queue == nullptr) {
        const ssize_t result = ::send(connection.fd, frame->data(), frame->size(), MSG_NOSIGNAL);
        if (result == static_cast<ssize_t>(frame->size())) {
            return;
        }
        if (result < 0 && errno != EAGAIN) {
            remove(connection);
            return;
        }
        sent = result > 0 ? static_cast<std::size_t>(result) : 0;
        connection.queue = std::make_unique<std::deque<Frame>>();
        connection.offset = sent;
    }
    connection.queue->push_back(frame);
    wait(connection, true);
}

void Loop::enqueue(Connection& connection, const Frame& frame) {
    if (connection.fd < 0) {
        return;
    }
    if (connection.queue == nullptr) {
        connection.queue = std::make_unique<std::deque<Frame>>();
        connection.offset = 0;
    }
    connection.queue->push_back(frame);
    if (!connection.dirty) {
        connection.dirty = true;
        dirty_.push_back(&connection);
    }
}

void Loop::flush(Connection& connection) {
    while (connection.fd >= 0 && connection.queue != nullptr) {
        std::deque<Frame>& queue = *connection.queue;
        std::array<iovec, kGather> buffers;
        std::size_t count = 0;
        std::size_t offset = connection.offset;
        std::size_t bytes = 0;
        for (const Frame& frame : queue) {
            if (count == (join_ ? kGather : 1)) {
                break;
            }
            buffers[count].iov_base = const_cast<char*>(frame->data()) + offset;
            buffers[count].iov_len = frame->size() - offset;
            bytes += buffers[count].iov_len;
            offset = 0;
            ++count;
        }
        msghdr message{};
        message.msg_iov = buffers.data();
        message.msg_iovlen = count;
        const ssize_t result = ::sendmsg(connection.fd, &message, MSG_NOSIGNAL);
        if (result < 0) {
            if (errno == EAGAIN) {
                wait(connection, true);
            } else {
                remove(connection);
            }
            return;
        }
        std::size_t sent = static_cast<std::size_t>(result) + connection.offset;
        while (!queue.empty() && sent >= queue.front()->size()) {
            sent -= queue.front()->size();
            queue.pop_front();
        }
        connection.offset = sent;
        if (queue.empty()) {
            connection.queue.reset();
            wait(connection, false);
        } else if (static_cast<std::size_t>(result) < bytes) {
            wait(connection, true);
            return;
        }
    }
}

void Loop::wait(Connection& connection, bool forOut) {
    if (connection.blocked == forOut) {
        return;
    }
    connection.blocked = forOut;
    epoll_event event{};
    event.events = forOut ? EPOLLIN | EPOLLOUT : EPOLLIN;
    event.data.ptr = &connection;
    epoll_ctl(epoll_, EPOLL_CTL_MOD, connection.fd, &event);
}

void Loop::remove(Connection& connection) {
    if (connection.fd < 0) {
        return;
    }
    ::close(connection.fd);
    connection.fd = -1;
    connection.queue.reset();
    if (connection.upgraded) {
        server_.remove(connection);
        connections_.back()->place = connection.place;
        connections_[connection.place] = connections_.back();
        connections_.pop_back();
    }
}

}  // namespace

int main(int argc, char** argv) {
    const bench::Arguments arguments = bench::parseArguments(argc, argv);
    if (arguments.tls() || arguments.deflate) {
        bench::refuse("the floor is without TLS and compression");
    }
    Server server(arguments);
}
