// The load client of the benchmarks: raw epoll, one thread, no library.
//
// It opens N WebSocket sessions to ws://127.0.0.1:PORT/websocket/u0 ... u(N-1), triggers the server
// under test by a text command sent over the session of u0, counts what arrives by parsing frame
// headers only, and reads the server's CPU time and memory from the kernel. One JSON line per run
// goes to stdout. Everything has a deadline: an alarm ends the process whatever happens.
//
// --tls decrypts with OpenSSL and trusts any certificate. --deflate insists on permessage-deflate;
// it counts compressed messages like others, and inflates only those of every sixteenth session:
// all that carry a time-stamp, and the first one of each run, to see that they are what they claim.
// --drain has the kernel throw away what arrives, and counts messages of one size by their bytes.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "inflate_client.hpp"
#include "tls_client.hpp"

namespace {

using Nanoseconds = std::int64_t;

constexpr Nanoseconds kSecond = 1'000'000'000;
constexpr Nanoseconds kMillisecond = 1'000'000;
constexpr std::string_view kKey = "dGhlIHNhbXBsZSBub25jZQ==";
constexpr std::string_view kAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
constexpr std::size_t kReadBufferSize = 128 * 1024;
constexpr std::size_t kConnectWindow = 64;          // handshakes under way at once
constexpr std::size_t kSessionsPerAddress = 20000;  // local ports are what runs short
constexpr std::size_t kWarmSessions = 100;          // not part of the memory and handshake figures
constexpr std::size_t kInflatedShare = 16;          // of so many sessions one is looked into
constexpr Nanoseconds kStall = 3 * kSecond;         // no progress for so long: the rest is lost

Nanoseconds readClock(clockid_t clock) {
    timespec now{};
    if (clock_gettime(clock, &now) != 0) {
        throw std::runtime_error(std::string("clock_gettime: ") + std::strerror(errno));
    }
    return static_cast<Nanoseconds>(now.tv_sec) * kSecond + now.tv_nsec;
}

Nanoseconds now() {
    return readClock(CLOCK_MONOTONIC);
}

void sleepFor(Nanoseconds duration) {
    timespec wait{duration / kSecond, duration % kSecond};
    nanosleep(&wait, nullptr);
}

/// CPU time of another process. `total` is exact (scheduler clock, threads that ended included);
/// the split into user and system is sampled by the kernel's tick, so only sums over long or many
/// runs tell something.
struct CpuTime {
    Nanoseconds total = 0;
    Nanoseconds userTicks = 0;
    Nanoseconds allTicks = 0;
};

CpuTime operator-(const CpuTime& a, const CpuTime& b) {
    return {a.total - b.total, a.userTicks - b.userTicks, a.allTicks - b.allTicks};
}

CpuTime cpuTimeOf(pid_t pid) {
    // The layout clock_getcpuclockid() uses; which = 0 user + system, 1 user, 2 scheduler.
    const auto clockOf = [pid](int which) {
        return static_cast<clockid_t>((~static_cast<unsigned>(pid) << 3) |
                                      static_cast<unsigned>(which));
    };
    return {readClock(clockOf(2)), readClock(clockOf(1)), readClock(clockOf(0))};
}

/// CPU time of the process's threads that are not named "business": what the event loops spent.
/// Loops live as long as the server, so nothing is lost with threads that ended.
Nanoseconds loopTimeOf(pid_t pid) {
    Nanoseconds sum = 0;
    const std::string folder = "/proc/" + std::to_string(pid) + "/task";
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        std::string name;
        std::getline(std::ifstream(entry.path() / "comm") >> std::ws, name);
        Nanoseconds spent = 0;
        if (name != "business" && std::ifstream(entry.path() / "schedstat") >> spent) {
            sum += spent;
        }
    }
    return sum;
}

struct Memory {
    std::int64_t rss = 0;  // bytes
    std::int64_t pss = 0;
};

Memory memoryOf(pid_t pid) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/smaps_rollup");
    Memory memory;
    for (std::string line; std::getline(file, line);) {
        long kilobytes = 0;
        if (std::sscanf(line.c_str(), "Rss: %ld", &kilobytes) == 1) {
            memory.rss = kilobytes * 1024;
        } else if (std::sscanf(line.c_str(), "Pss: %ld", &kilobytes) == 1) {
            memory.pss = kilobytes * 1024;
        }
    }
    return memory;
}

/// One session: the state of a frame parser that looks at headers only.
struct Session {
    int fd = -1;
    TlsClient::Session tls = nullptr;
    bool secure = false;  // the TLS handshake is complete
    bool upgraded = false;
    std::string response;           // until upgraded
    std::uint64_t remaining = 0;    // payload bytes of the current frame still to come
    std::uint64_t frameSize = 0;    // payload bytes of the current frame
    unsigned char header[10] = {};  // a header that arrived in pieces
    std::uint8_t headerSize = 0;
    std::uint8_t firstByte = 0;  // FIN and opcode of the current frame
    std::uint8_t digits = 0;     // digits of the timestamp seen so far
    bool timestampOpen = false;  // the timestamp is not complete yet
    Nanoseconds timestamp = 0;
    bool compressed = false;  // the current message is
    bool kept = false;        // it is kept to be looked into when it is complete
    bool inspected = false;   // one of this run has been looked into
    std::string message;      // what is kept
    std::string reply;        // only kept where a reply is expected
};

struct Options {
    int port = 0;
    pid_t pid = 0;
    std::size_t sessions = 1;
    std::vector<std::string> commands;  // sent at the same moment
    std::string warmup;
    double inboundRate = 0;  // messages/s of each session, to the server
    double inboundSeconds = 0;
    std::size_t inboundSize = 16;
    unsigned timeout = 60;
    bool allocations = false;
    bool tls = false;
    bool deflate = false;
    bool drain = false;
};

struct Expectation {
    std::uint64_t messages = 0;
    std::uint64_t size = 0;           // of each payload
    std::uint64_t timestampSize = 0;  // frames of this payload size start with a timestamp
};

Expectation expectationOf(const std::string& command, std::size_t sessions) {
    std::istringstream in(command);
    std::string name;
    in >> name;
    std::uint64_t a = 0;
    std::uint64_t b = 0;
    std::uint64_t c = 0;
    in >> a >> b >> c;
    if (name == "burst")
        return {a * sessions, b, 0};
    if (name == "pace")
        return {a * b * sessions, c, c};
    if (name == "one")
        return {a, b, 0};
    if (name == "paceone")
        return {a * b, c, c};
    if (name == "more")
        return {a * std::min<std::uint64_t>(c, sessions), b, 0};
    if (name == "multi" && a > 0)
        return {b / a * a, c, 0};
    throw std::runtime_error("unknown command: " + command);
}

class Client {
public:
    explicit Client(const Options& options) : options_(options), buffer_(kReadBufferSize) {
        epoll_ = epoll_create1(EPOLL_CLOEXEC);
        if (epoll_ < 0) {
            throw std::runtime_error("epoll_create1 failed");
        }
        events_.resize(1024);
        sessions_.resize(options.sessions);
        if (options.tls) {
            tls_.emplace();
            plain_.resize(kReadBufferSize);
        }
        if (options.deflate) {
            inflater_.emplace();
        }
    }

    ~Client() {
        for (Session& session : sessions_) {
            if (session.tls != nullptr) {
                TlsClient::close(session.tls);
            }
            if (session.fd >= 0) {
                close(session.fd);
            }
        }
        close(epoll_);
    }

    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;

    /// Opens the sessions [from, to), a bounded number of handshakes at a time.
    void open(std::size_t from, std::size_t to) {
        std::size_t started = from;
        opened_ = from;
        Nanoseconds progress = now();
        std::size_t last = opened_;
        while (opened_ < to) {
            while (started < to && started - opened_ < kConnectWindow) {
                connectOne(started++);
            }
            turn(100);
            if (opened_ != last) {
                last = opened_;
                progress = now();
            } else if (now() - progress > kStall) {
                throw std::runtime_error("the server does not answer handshakes: " +
                                         std::to_string(opened_) + " sessions open");
            }
        }
    }

    struct Result {
        std::uint64_t expected = 0;
        std::uint64_t delivered = 0;
        double seconds = 0;
        CpuTime server;
        Nanoseconds loops = 0;  // the part of it that the event loops spent
        double clientShare = 0;
        std::uint64_t wireBytes = 0;  // as the socket had them
        std::uint64_t records = 0;    // of TLS
        std::uint64_t compressed = 0;
        std::vector<std::uint64_t> latencies;  // ns, sorted
    };

    /// Sends the commands and waits for what they must deliver, or until nothing comes any more.
    Result run(const std::vector<std::string>& commands) {
        Result result;
        timestampSize_ = 0;
        sizes_.clear();
        latencies_.clear();
        for (const std::string& command : commands) {
            const Expectation expectation = expectationOf(command, sessions_.size());
            result.expected += expectation.messages;
            sizes_.push_back(expectation.size);
            if (expectation.timestampSize > 0) {
                timestampSize_ = expectation.timestampSize;
                latencies_.reserve(expectation.messages);
            }
        }
        if (options_.drain && sizes_.size() != 1) {
            throw std::runtime_error("--drain counts messages of one size");
        }
        for (Session& session : sessions_) {
            session.inspected = false;
        }
        startCounting();
        const CpuTime serverBefore = cpuTimeOf(options_.pid);
        result.loops = -loopTimeOf(options_.pid);
        const Nanoseconds ownBefore = readClock(CLOCK_PROCESS_CPUTIME_ID);
        const Nanoseconds begin = now();
        draining_ = options_.drain;
        expected_ = result.expected;
        for (const std::string& command : commands) {
            sendText(sessions_[0], command);
        }
        Nanoseconds progress = begin;
        while (delivered_ < result.expected && now() - progress < kStall) {
            const std::uint64_t before = delivered_;
            turn(50);
            if (delivered_ != before) {
                progress = now();
            }
        }
        draining_ = false;
        finish(result, serverBefore, ownBefore, begin, progress);
        return result;
    }

    /// Each session sends `rate` messages/s for `seconds`; the server says how many it saw.
    Result runInbound(double rate, double seconds, std::size_t size) {
        Result result;
        const std::string frame = clientFrame(std::string(size, 'x'));
        const double all = rate * static_cast<double>(sessions_.size());
        result.expected = static_cast<std::uint64_t>(all * seconds);
        const std::uint64_t seenBefore = ask("inbound");
        startCounting();
        const CpuTime serverBefore = cpuTimeOf(options_.pid);
        result.loops = -loopTimeOf(options_.pid);
        const Nanoseconds ownBefore = readClock(CLOCK_PROCESS_CPUTIME_ID);
        const Nanoseconds begin = now();
        std::uint64_t sent = 0;
        while (sent < result.expected) {
            const double elapsed = static_cast<double>(now() - begin) / kSecond;
            const auto due = std::min(result.expected, static_cast<std::uint64_t>(all * elapsed));
            for (; sent < due; ++sent) {
                write(sessions_[sent % sessions_.size()], frame);
            }
            turn(1);
        }
        Nanoseconds progress = now();
        delivered_ = 0;
        while (delivered_ < result.expected && now() - progress < kStall) {
            const std::uint64_t seen = ask("inbound") - seenBefore;
            if (seen != delivered_) {
                delivered_ = seen;
                progress = now();
            }
            if (delivered_ < result.expected) {
                sleepFor(5 * kMillisecond);
            }
        }
        finish(result, serverBefore, ownBefore, begin, progress);
        return result;
    }

    /// Sends a question whose answer is "<question> NUMBER".
    std::uint64_t ask(const std::string& question) {
        Session& control = sessions_[0];
        control.reply.clear();
        expectReply_ = true;
        sendText(control, question);
        const Nanoseconds begin = now();
        unsigned long long value = 0;
        const std::string format = question + " %llu";
        while (std::sscanf(control.reply.c_str(), format.c_str(), &value) != 1) {
            if (now() - begin > kStall) {
                throw std::runtime_error("no reply to '" + question + "'");
            }
            turn(10);
        }
        expectReply_ = false;
        return value;
    }

    std::size_t closedByServer() const { return closed_; }

private:
    void startCounting() {
        delivered_ = 0;
        compressed_ = 0;
        wireBytes_ = 0;
        recordsBefore_ = tls_ ? tls_->records() : 0;
    }

    void finish(Result& result, const CpuTime& serverBefore, Nanoseconds ownBefore,
                Nanoseconds begin, Nanoseconds end) {
        result.delivered = delivered_;
        result.seconds = static_cast<double>(std::max<Nanoseconds>(1, end - begin)) / kSecond;
        const Nanoseconds own = readClock(CLOCK_PROCESS_CPUTIME_ID) - ownBefore;
        const double wall = static_cast<double>(now() - begin) / kSecond;
        result.clientShare = static_cast<double>(own) / kSecond / wall;
        sleepFor(20 * kMillisecond);  // what the server still tidies up belongs to the work
        result.server = cpuTimeOf(options_.pid) - serverBefore;
        result.loops += loopTimeOf(options_.pid);
        result.wireBytes = wireBytes_;
        result.records = tls_ ? tls_->records() - recordsBefore_ : 0;
        result.compressed = compressed_;
        result.latencies.swap(latencies_);
        std::sort(result.latencies.begin(), result.latencies.end());
    }

    void connectOne(std::size_t index) {
        Session& session = sessions_[index];
        session.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (session.fd < 0) {
            throw std::runtime_error(std::string("socket: ") + std::strerror(errno));
        }
        const int on = 1;
        setsockopt(session.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        // Closing resets, so that a run leaves no ports waiting behind for the next one.
        const linger reset{1, 0};
        setsockopt(session.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        if (index >= kSessionsPerAddress) {
            sockaddr_in local{};
            local.sin_family = AF_INET;
            local.sin_addr.s_addr =
                htonl(INADDR_LOOPBACK + static_cast<std::uint32_t>(index / kSessionsPerAddress));
            setsockopt(session.fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
            if (bind(session.fd, reinterpret_cast<sockaddr*>(&local), sizeof local) != 0) {
                throw std::runtime_error(std::string("bind: ") + std::strerror(errno));
            }
        }
        sockaddr_in peer{};
        peer.sin_family = AF_INET;
        peer.sin_port = htons(static_cast<std::uint16_t>(options_.port));
        peer.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        if (connect(session.fd, reinterpret_cast<sockaddr*>(&peer), sizeof peer) != 0 &&
            errno != EINPROGRESS) {
            throw std::runtime_error(std::string("connect: ") + std::strerror(errno));
        }
        epoll_event event{};
        event.events = EPOLLOUT;
        event.data.ptr = &session;
        epoll_ctl(epoll_, EPOLL_CTL_ADD, session.fd, &event);
    }

    void turn(int timeoutMs) {
        if (draining_) {
            // Fewer and larger reads. One at a time has this thread send for the server: TCP goes
            // on where an acknowledgement is made.
            sleepFor(kMillisecond);
        }
        const int count =
            epoll_wait(epoll_, events_.data(), static_cast<int>(events_.size()), timeoutMs);
        for (int i = 0; i < count; ++i) {
            const epoll_event& event = events_[static_cast<std::size_t>(i)];
            Session& session = *static_cast<Session*>(event.data.ptr);
            if ((event.events & EPOLLOUT) != 0) {
                connected(session);
            } else if (draining_) {
                drain(session);
            } else {
                receive(session);
            }
        }
    }

    void connected(Session& session) {
        int error = 0;
        socklen_t size = sizeof error;
        getsockopt(session.fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error != 0) {
            throw std::runtime_error(std::string("connect: ") + std::strerror(error));
        }
        if (tls_) {
            session.tls = tls_->open();
            tls_->feed({});
            tls_->handshake(session.tls);
            writeAll(session, tls_->takeOutput());
        } else {
            sendRequest(session);
        }
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.ptr = &session;
        epoll_ctl(epoll_, EPOLL_CTL_MOD, session.fd, &event);
    }

    std::size_t indexOf(const Session& session) const {
        return static_cast<std::size_t>(&session - sessions_.data());
    }

    void sendRequest(Session& session) {
        const std::size_t index = indexOf(session);
        std::string request = "GET /websocket/u" + std::to_string(index) +
                              " HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(options_.port) +
                              "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                              "Sec-WebSocket-Key: ";
        request.append(kKey).append("\r\nSec-WebSocket-Version: 13\r\n");
        if (options_.deflate) {
            // No context, so that any message can be inflated, whether those before were or not.
            request.append(
                "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; "
                "client_no_context_takeover\r\n");
        }
        write(session, request.append("\r\n"));
    }

    void drain(Session& session) {
        // Without a buffer: MSG_TRUNC lets TCP drop the bytes. Who sends a message as several
        // frames has more of them than is counted here.
        const ssize_t got = recv(session.fd, nullptr, std::size_t{1} << 30U, MSG_TRUNC);
        if (got <= 0) {
            lost(session, got);
            return;
        }
        wireBytes_ += static_cast<std::uint64_t>(got);
        // Nothing is decrypted either: records of TLS 1.3 are 22 bytes longer than what they carry,
        // and are taken to be full, so that the count may be a fraction of a percent too high.
        const std::uint64_t carried = tls_ ? wireBytes_ * 16384 / 16406 : wireBytes_;
        const std::uint64_t size = sizes_.front();
        delivered_ = std::min(expected_, carried / (size + (size < 126     ? 2U
                                                            : size < 65536 ? 4U
                                                                           : 10U)));
    }

    /// After a read of `got` bytes, which are 0 or less.
    void lost(Session& session, ssize_t got) {
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        close(session.fd);  // also leaves epoll
        session.fd = -1;
        ++closed_;
        if (!session.upgraded) {
            throw std::runtime_error("the server closed during a handshake: " + session.response);
        }
    }

    void receive(Session& session) {
        const ssize_t got = read(session.fd, buffer_.data(), buffer_.size());
        if (got <= 0) {
            lost(session, got);
            return;
        }
        wireBytes_ += static_cast<std::uint64_t>(got);
        arrived_ = timestampSize_ > 0 ? now() : 0;
        const std::string_view data(buffer_.data(), static_cast<std::size_t>(got));
        if (!tls_) {
            take(session, data);
            return;
        }
        tls_->feed(data);
        if (!session.secure) {
            session.secure = tls_->handshake(session.tls);
            writeAll(session, tls_->takeOutput());
            if (!session.secure) {
                return;
            }
            sendRequest(session);
        }
        while (const std::size_t size = tls_->read(session.tls, plain_.data(), plain_.size())) {
            take(session, {plain_.data(), size});
        }
        writeAll(session, tls_->takeOutput());
    }

    void take(Session& session, std::string_view data) {
        if (session.upgraded) {
            parse(session, data.data(), data.size());
            return;
        }
        session.response.append(data);
        const std::size_t end = session.response.find("\r\n\r\n");
        if (end == std::string::npos) {
            return;
        }
        if (session.response.find(" 101 ") == std::string::npos ||
            session.response.find(kAccept) == std::string::npos) {
            throw std::runtime_error("handshake refused: " + session.response);
        }
        if (options_.deflate &&
            session.response.find("server_no_context_takeover") == std::string::npos) {
            throw std::runtime_error("the server does not agree to permessage-deflate: " +
                                     session.response);
        }
        session.upgraded = true;
        ++opened_;
        const std::string rest = session.response.substr(end + 4);
        session.response = std::string();
        parse(session, rest.data(), rest.size());
    }

    void parse(Session& session, const char* data, std::size_t size) {
        const char* const end = data + size;
        while (data < end) {
            if (session.remaining == 0) {
                data = parseHeader(session, data, end);
                if (data == nullptr) {
                    return;
                }
                if (session.remaining == 0) {
                    frameEnd(session);
                    continue;
                }
            }
            const std::size_t take = static_cast<std::size_t>(
                std::min<std::uint64_t>(session.remaining, static_cast<std::uint64_t>(end - data)));
            if (session.timestampOpen) {
                parseTimestamp(session, data, take);
            }
            if (session.kept && (session.firstByte & 0x08U) == 0) {
                session.message.append(data, take);
            }
            data += take;
            session.remaining -= take;
            if (session.remaining == 0) {
                frameEnd(session);
            }
        }
    }

    /// Returns where the payload starts, or nullptr when the header is not complete yet.
    const char* parseHeader(Session& session, const char* data, const char* end) {
        for (;;) {
            std::uint8_t need = 2;
            if (session.headerSize >= 2) {
                const unsigned length = session.header[1] & 0x7FU;
                need = length == 126 ? 4 : length == 127 ? 10 : 2;
            }
            if (session.headerSize >= 2 && session.headerSize == need) {
                break;
            }
            if (data == end) {
                return nullptr;
            }
            session.header[session.headerSize++] = static_cast<unsigned char>(*data++);
        }
        session.headerSize = 0;
        session.firstByte = session.header[0];
        if ((session.header[1] & 0x80U) != 0) {
            throw std::runtime_error("the server masked a frame");
        }
        std::uint64_t length = session.header[1] & 0x7FU;
        if (length >= 126) {
            const int bytes = length == 126 ? 2 : 8;
            length = 0;
            for (int i = 0; i < bytes; ++i) {
                length = length << 8 | session.header[2 + i];
            }
        }
        session.remaining = session.frameSize = length;
        const unsigned opcode = session.firstByte & 0x0FU;
        if (opcode == 1 || opcode == 2) {
            session.compressed = (session.firstByte & 0x40U) != 0;
            session.kept = isKept(session);
        }
        session.timestampOpen =
            timestampSize_ > 0 && length == timestampSize_ && !session.compressed;
        session.timestamp = 0;
        session.digits = 0;
        return data;
    }

    bool isKept(const Session& session) const {
        return (expectReply_ && &session == sessions_.data()) ||
               (session.compressed && indexOf(session) % kInflatedShare == 0 &&
                (timestampSize_ > 0 || !session.inspected));
    }

    void parseTimestamp(Session& session, const char* data, std::size_t size) {
        for (std::size_t i = 0; i < size; ++i) {
            const char c = data[i];
            if (c >= '0' && c <= '9' && session.digits < 19) {
                session.timestamp = session.timestamp * 10 + (c - '0');
                ++session.digits;
                continue;
            }
            session.timestampOpen = false;
            if (session.digits > 0 && c == ' ') {
                latencies_.push_back(static_cast<std::uint64_t>(
                    std::max<Nanoseconds>(0, arrived_ - session.timestamp)));
            }
            return;
        }
    }

    void frameEnd(Session& session) {
        const unsigned opcode = session.firstByte & 0x0FU;
        if (opcode < 8 && (session.firstByte & 0x80U) != 0) {
            ++delivered_;
            if (session.compressed) {
                ++compressed_;
            }
            if (session.kept) {
                inspect(session);
            }
        }
    }

    /// A message that was kept is complete.
    void inspect(Session& session) {
        std::string text = std::move(session.message);
        session.message = std::string();
        session.kept = false;
        if (session.compressed) {
            if (!inflater_) {
                throw std::runtime_error("the server compresses, but nobody asked for it");
            }
            text = inflater_->inflate(std::move(text));
        }
        if (expectReply_ && &session == sessions_.data()) {
            session.reply.append(text);
            return;
        }
        session.inspected = true;
        if (std::find(sizes_.begin(), sizes_.end(), text.size()) == sizes_.end()) {
            throw std::runtime_error("a message of " + std::to_string(text.size()) +
                                     " bytes was inflated, which nobody sent");
        }
        if (timestampSize_ > 0) {
            session.timestamp = 0;
            session.digits = 0;
            parseTimestamp(session, text.data(), text.size());
        }
    }

    static std::string clientFrame(std::string_view payload) {
        if (payload.size() > 125) {
            throw std::runtime_error("a client message is at most 125 bytes here");
        }
        const unsigned char mask[4] = {0x5A, 0xC3, 0x11, 0x7E};
        std::string frame;
        frame.push_back(static_cast<char>(0x81));
        frame.push_back(static_cast<char>(0x80U | payload.size()));
        frame.append(reinterpret_cast<const char*>(mask), sizeof mask);
        for (std::size_t i = 0; i < payload.size(); ++i) {
            frame.push_back(
                static_cast<char>(static_cast<unsigned char>(payload[i]) ^ mask[i % 4]));
        }
        return frame;
    }

    void sendText(Session& session, std::string_view text) { write(session, clientFrame(text)); }

    void write(Session& session, std::string_view bytes) {
        if (!tls_) {
            writeAll(session, bytes);
        } else if (session.fd >= 0) {
            tls_->write(session.tls, bytes);
            writeAll(session, tls_->takeOutput());
        }
    }

    void writeAll(Session& session, std::string_view bytes) {
        if (session.fd < 0) {
            return;
        }
        const Nanoseconds begin = now();
        while (!bytes.empty()) {
            const ssize_t sent = send(session.fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (sent > 0) {
                bytes.remove_prefix(static_cast<std::size_t>(sent));
            } else if (errno == EAGAIN) {
                pollfd wait{session.fd, POLLOUT, 0};
                poll(&wait, 1, 100);
                if (now() - begin > kStall) {
                    throw std::runtime_error("the server does not read");
                }
            } else if (errno != EINTR) {
                return;  // closed: noticed when reading
            }
        }
    }

    const Options options_;
    int epoll_ = -1;
    std::vector<epoll_event> events_;
    std::vector<char> buffer_;
    std::vector<char> plain_;  // decrypted
    std::optional<TlsClient> tls_;
    std::optional<Inflater> inflater_;
    std::vector<Session> sessions_;
    std::vector<std::uint64_t> latencies_;
    std::vector<std::uint64_t> sizes_;  // of the payloads that the commands cause
    std::size_t opened_ = 0;
    std::size_t closed_ = 0;
    std::uint64_t delivered_ = 0;
    std::uint64_t timestampSize_ = 0;
    std::uint64_t compressed_ = 0;
    std::uint64_t expected_ = 0;
    std::uint64_t wireBytes_ = 0;
    std::uint64_t recordsBefore_ = 0;
    Nanoseconds arrived_ = 0;  // when what is being parsed was read
    bool expectReply_ = false;
    bool draining_ = false;
};

void usage() {
    std::cerr
        << "usage: load_client --port PORT --pid SERVER_PID [--sessions N] [--warmup COMMAND]\n"
           "                   [--command COMMAND]... [--inbound RATE SECONDS SIZE]\n"
           "                   [--allocations] [--timeout SECONDS] [--tls] [--deflate] [--drain]\n"
           "commands: 'burst COUNT SIZE' 'pace RATE SECS SIZE' 'one COUNT SIZE'\n"
           "          'paceone RATE SECS SIZE' 'more COUNT SIZE K' 'multi THREADS COUNT SIZE'\n";
}

Options parseOptions(int argc, char** argv) {
    Options options;
    int i = 1;
    const auto next = [&]() -> std::string {
        if (i + 1 >= argc) {
            throw std::runtime_error(std::string(argv[i]) + " needs a value");
        }
        return argv[++i];
    };
    for (; i < argc; ++i) {
        const std::string name = argv[i];
        if (name == "--port") {
            options.port = std::stoi(next());
        } else if (name == "--pid") {
            options.pid = std::stoi(next());
        } else if (name == "--sessions") {
            options.sessions = std::stoul(next());
        } else if (name == "--command") {
            options.commands.push_back(next());
        } else if (name == "--warmup") {
            options.warmup = next();
        } else if (name == "--inbound") {
            options.inboundRate = std::stod(next());
            options.inboundSeconds = std::stod(next());
            options.inboundSize = std::stoul(next());
        } else if (name == "--allocations") {
            options.allocations = true;
        } else if (name == "--tls") {
            options.tls = true;
        } else if (name == "--deflate") {
            options.deflate = true;
        } else if (name == "--drain") {
            options.drain = true;
        } else if (name == "--timeout") {
            options.timeout = static_cast<unsigned>(std::stoul(next()));
        } else {
            throw std::runtime_error("unknown argument " + name);
        }
    }
    if (options.port <= 0 || options.pid <= 0 || options.sessions == 0) {
        throw std::runtime_error("--port, --pid and --sessions must be positive");
    }
    if (options.drain && options.deflate) {
        throw std::runtime_error("--drain cannot count what is compressed");
    }
    return options;
}

double percentile(const std::vector<std::uint64_t>& sorted, double share) {
    if (sorted.empty()) {
        return 0;
    }
    const auto rank =
        static_cast<std::size_t>(share * static_cast<double>(sorted.size() - 1) + 0.5);
    return static_cast<double>(sorted[rank]) / 1000;
}

void raiseFileLimit(std::size_t sessions) {
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < sessions + 16) {
        throw std::runtime_error("the limit of open files is " + std::to_string(limit.rlim_cur) +
                                 ": raise it (ulimit -n) for " + std::to_string(sessions) +
                                 " sessions");
    }
}

extern "C" void onAlarm(int) {
    const char text[] = "load_client: deadline passed\n";
    [[maybe_unused]] const ssize_t written = write(2, text, sizeof text - 1);
    _exit(3);
}

void runAll(const Options& options) {
    raiseFileLimit(options.sessions);
    Client client(options);
    std::ostringstream json;
    json << "{\"sessions\":" << options.sessions;

    // The first sessions pay for what a server sets up once; memory and handshake cost are the
    // difference that the others make.
    const std::size_t warm = options.sessions > 2 * kWarmSessions ? kWarmSessions : 0;
    client.open(0, warm);
    if (warm > 0) {
        sleepFor(50 * kMillisecond);
    }
    const Memory memoryBefore = memoryOf(options.pid);
    const CpuTime cpuBefore = cpuTimeOf(options.pid);
    const Nanoseconds begin = now();
    client.open(warm, options.sessions);
    const double opening = static_cast<double>(now() - begin) / kSecond;
    sleepFor(200 * kMillisecond);
    const CpuTime cpuOpening = cpuTimeOf(options.pid) - cpuBefore;
    const Memory memoryAfter = memoryOf(options.pid);
    const auto counted = static_cast<double>(options.sessions - warm);
    json << ",\"handshakeUs\":" << static_cast<double>(cpuOpening.total) / 1000 / counted
         << ",\"handshakesPerSecond\":" << counted / opening
         << ",\"idleBytes\":" << static_cast<double>(memoryAfter.rss - memoryBefore.rss) / counted
         << ",\"idlePssBytes\":"
         << static_cast<double>(memoryAfter.pss - memoryBefore.pss) / counted
         << ",\"rss\":" << memoryAfter.rss;

    if (!options.warmup.empty()) {
        client.run({options.warmup});
        sleepFor(50 * kMillisecond);
    }
    if (!options.commands.empty() || options.inboundRate > 0) {
        std::uint64_t allocations = 0;
        if (options.allocations) {
            allocations = client.ask("allocations");
        }
        const Client::Result result =
            options.inboundRate > 0 ? client.runInbound(options.inboundRate, options.inboundSeconds,
                                                        options.inboundSize)
                                    : client.run(options.commands);
        if (options.allocations) {
            json << ",\"allocations\":" << client.ask("allocations") - allocations;
        }
        const auto delivered = static_cast<double>(std::max<std::uint64_t>(1, result.delivered));
        // Ticks share out the exact total; see CpuTime.
        json << ",\"expected\":" << result.expected << ",\"delivered\":" << result.delivered
             << ",\"lost\":"
             << static_cast<std::int64_t>(result.expected) -
                    static_cast<std::int64_t>(result.delivered)
             << ",\"closedByServer\":" << client.closedByServer()
             << ",\"seconds\":" << result.seconds
             << ",\"perSecond\":" << static_cast<double>(result.delivered) / result.seconds
             << ",\"serverCpuSeconds\":" << static_cast<double>(result.server.total) / kSecond
             << ",\"cpuUs\":" << static_cast<double>(result.server.total) / 1000 / delivered
             << ",\"loopUs\":" << static_cast<double>(result.loops) / 1000 / delivered
             << ",\"userTickSeconds\":" << static_cast<double>(result.server.userTicks) / kSecond
             << ",\"tickSeconds\":" << static_cast<double>(result.server.allTicks) / kSecond
             << ",\"clientCpuShare\":" << result.clientShare
             << ",\"wireBytes\":" << static_cast<double>(result.wireBytes) / delivered
             << ",\"records\":" << static_cast<double>(result.records) / delivered
             << ",\"compressed\":" << static_cast<double>(result.compressed) / delivered
             << ",\"clientBound\":" << (result.clientShare > 0.9 ? "true" : "false");
        if (!result.latencies.empty()) {
            json << ",\"latencies\":" << result.latencies.size()
                 << ",\"p50Us\":" << percentile(result.latencies, 0.5)
                 << ",\"p99Us\":" << percentile(result.latencies, 0.99)
                 << ",\"p999Us\":" << percentile(result.latencies, 0.999)
                 << ",\"maxUs\":" << percentile(result.latencies, 1);
        }
    }
    json << "}";
    std::cout << json.str() << std::endl;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        const Options options = parseOptions(argc, argv);
        std::signal(SIGALRM, onAlarm);
        alarm(options.timeout);
        runAll(options);
        return 0;
    } catch (const std::exception& error) {
        std::cerr << "load_client: " << error.what() << '\n';
        if (argc < 2) {
            usage();
        }
        return 1;
    }
}
