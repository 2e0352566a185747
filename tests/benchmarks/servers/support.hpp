// What the C++ servers of the benchmarks share: arguments, the ready line, and the text commands
// that any client may send. The commands run on a business thread of their own, so that every
// server is measured doing the same job: pushing from outside its event loop.
#pragma once

#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#ifdef PUSHHUB_BENCH_COUNT_ALLOCATIONS
std::uint64_t benchAllocationCount();  // count_allocations.cpp
#endif

namespace bench {

struct Arguments {
    std::uint16_t port = 9000;
    unsigned threads = 1;
    std::string mode;
    std::string certificate;  // a PEM file: TLS if there is one
    std::string key;
    bool deflate = false;  // permessage-deflate, and payloads that are worth it

    bool tls() const { return !certificate.empty(); }
};

/// What a server says to a flag that it cannot serve; the driver then skips it.
[[noreturn]] inline void refuse(std::string_view what) {
    std::cerr << "not available: " << what << '\n';
    std::exit(2);
}

inline Arguments parseArguments(int argc, char** argv) {
    Arguments arguments;
    for (int i = 1; i < argc; i += 2) {
        const std::string name = argv[i];
        if (name == "--deflate") {
            arguments.deflate = true;
            --i;
            continue;
        }
        if ((name != "--port" && name != "--threads" && name != "--mode" && name != "--tls") ||
            i + (name == "--tls" ? 2 : 1) >= argc) {
            std::cerr << "usage: " << argv[0]
                      << " [--port PORT] [--threads LOOPS] [--mode MODE] [--tls CERT KEY]"
                         " [--deflate]\n";
            std::exit(2);
        }
        if (name == "--tls") {
            arguments.certificate = argv[i + 1];
            arguments.key = argv[i + 2];
            ++i;
        } else if (name == "--port") {
            arguments.port = static_cast<std::uint16_t>(std::stoi(argv[i + 1]));
        } else if (name == "--threads") {
            arguments.threads = static_cast<unsigned>(std::max(1, std::stoi(argv[i + 1])));
        } else {
            arguments.mode = argv[i + 1];
        }
    }
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    return arguments;
}

/// Tells the driver that the server listens.
inline void printReady(std::uint16_t port) {
    std::printf("ready %u %d\n", static_cast<unsigned>(port), static_cast<int>(getpid()));
    std::fflush(stdout);
}

/// The last segment of a path, without its query.
inline std::string_view userOf(std::string_view path) {
    path = path.substr(0, path.find('?'));
    const std::size_t slash = path.rfind('/');
    return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

inline std::int64_t monotonicNow() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<std::int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

inline void sleepUntil(std::int64_t deadline) {
    const timespec at{deadline / 1'000'000'000, deadline % 1'000'000'000};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, nullptr);
}

/// The payload of the commands, which `pace` writes its clock over: x, or where it is to be
/// compressed, JSON in which names repeat and values do not, as a price list has it.
inline std::string makePayload(std::size_t size, bool json) {
    if (!json) {
        return std::string(size, 'x');
    }
    std::string text;
    std::uint64_t noise = 1;
    for (unsigned i = 0; text.size() < size; ++i) {
        noise = noise * 6364136223846793005U + 1442695040888963407U;
        text += "{\"symbol\":\"S" + std::to_string(i * 7919U % 1000U) +
                "\",\"price\":" + std::to_string(noise >> 47U) + ".25,\"open\":true},";
    }
    text.resize(size);
    return text;
}

/// Runs the commands against `Server`, which provides, callable from any thread:
///   std::vector<std::string> users();
///   void sendAll(const std::string& text);
///   void sendOne(const std::string& user, const std::string& text);
///   void sendMore(const std::vector<std::string>& users, const std::string& text);
template <class Server>
class Commands {
public:
    Commands(Server& server, const Arguments& arguments)
        : server_(server), json_(arguments.deflate) {}

    /// Called for every text message, on the server's loop. Returns the reply to send back, if any.
    std::optional<std::string> handle(std::string_view text) {
        if (text.empty() || text.front() == 'x') {  // the inbound workload: only counted
            inbound_.fetch_add(1, std::memory_order_relaxed);
            return std::nullopt;
        }
        if (text == "inbound") {
            return "inbound " + std::to_string(inbound_.load());
        }
#ifdef PUSHHUB_BENCH_COUNT_ALLOCATIONS
        if (text == "allocations") {
            return "allocations " + std::to_string(benchAllocationCount());
        }
#endif
        std::istringstream in{std::string(text)};
        std::string name;
        std::uint64_t a = 0;
        std::uint64_t b = 0;
        std::uint64_t c = 0;
        in >> name >> a >> b >> c;
        if (name == "multi") {
            for (std::uint64_t i = 0; i < a; ++i) {
                start([this, i, a, b, c] { one(b / a, c, i * 7919); });
            }
        } else {
            start([this, name, a, b, c] { run(name, a, b, c); });
        }
        return std::nullopt;
    }

private:
    template <class Work>
    static void start(Work work) {
        std::thread([work] {
            prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
            prctl(PR_SET_NAME, "business", 0UL, 0UL, 0UL);  // the client tells the threads apart
            work();
        }).detach();
    }

    void run(const std::string& name, std::uint64_t a, std::uint64_t b, std::uint64_t c) {
        if (name == "burst") {
            const std::string text = makePayload(b, json_);
            for (std::uint64_t i = 0; i < a; ++i) {
                server_.sendAll(text);
            }
        } else if (name == "pace") {
            pace(a, b, c,
                 [this](std::uint64_t, const std::string& text) { server_.sendAll(text); });
        } else if (name == "one") {
            one(a, b, 0);
        } else if (name == "paceone") {
            const std::vector<std::string> users = server_.users();
            pace(a, b, c, [&](std::uint64_t i, const std::string& text) {
                server_.sendOne(users[i % users.size()], text);
            });
        } else if (name == "more") {
            more(a, b, c);
        }
    }

    void one(std::uint64_t count, std::uint64_t size, std::uint64_t first) {
        const std::vector<std::string> users = server_.users();
        const std::string text = makePayload(size, json_);
        for (std::uint64_t i = 0; i < count; ++i) {
            server_.sendOne(users[(first + i) % users.size()], text);
        }
    }

    void more(std::uint64_t count, std::uint64_t size, std::uint64_t receivers) {
        const std::vector<std::string> users = server_.users();
        const std::string text = makePayload(size, json_);
        receivers = std::min<std::uint64_t>(receivers, users.size());
        std::vector<std::string> chosen(receivers);
        std::size_t next = 0;
        for (std::uint64_t i = 0; i < count; ++i) {
            for (std::string& user : chosen) {
                user = users[next++ % users.size()];
            }
            server_.sendMore(chosen, text);
        }
    }

    template <class Push>
    void pace(std::uint64_t rate, std::uint64_t seconds, std::uint64_t size, Push push) const {
        const std::int64_t begin = monotonicNow();
        const std::int64_t period = 1'000'000'000 / static_cast<std::int64_t>(rate);
        std::string text = makePayload(std::max<std::size_t>(size, 20), json_);
        std::uint64_t noise = 1;
        for (std::uint64_t i = 0; i < rate * seconds; ++i) {
            // Jitter, so that the pushes do not march in step with the kernel's sampling tick.
            noise = noise * 6364136223846793005U + 1442695040888963407U;
            const auto jitter = static_cast<std::int64_t>(noise >> 33U) % (period / 4 + 1);
            sleepUntil(begin + static_cast<std::int64_t>(i) * period + jitter);
            // The clock has 10 to 19 digits; writing them in place allocates nothing.
            char* const end = std::to_chars(text.data(), text.data() + 19, monotonicNow()).ptr;
            *end = ' ';
            push(i, text);
        }
    }

    Server& server_;
    const bool json_;
    std::atomic<std::uint64_t> inbound_{0};
};

}  // namespace bench
