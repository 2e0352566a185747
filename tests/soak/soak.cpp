// Everything at once, for as long as it is told: see tests/soak.sh.

#include <malloc.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>
#include <thread>

#include "soak/clients.hpp"

using namespace pushhub;
using namespace pushhub::soak;
using namespace std::chrono_literals;
using test::TlsTransport;

namespace {

struct Settings {
    double seconds = 15;
    unsigned seed = 1;
    std::size_t clients = 240;
    double latencyBound = 5000;  // ms
};

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool sanitized = true;
#elif defined(__has_feature)
constexpr bool sanitized = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
constexpr bool sanitized = false;
#endif

// What the process holds.
struct Holdings {
    long memory = 0;  // KiB
    long threads = 0;
    long descriptors = 0;

    static Holdings now() {
        ::malloc_trim(0);
        Holdings holdings;
        std::ifstream status("/proc/self/status");
        for (std::string line; std::getline(status, line);) {
            std::sscanf(line.c_str(), "VmRSS: %ld", &holdings.memory);
            std::sscanf(line.c_str(), "Threads: %ld", &holdings.threads);
        }
        for ([[maybe_unused]] const auto& entry :
             std::filesystem::directory_iterator("/proc/self/fd")) {
            ++holdings.descriptors;
        }
        return holdings;
    }
};

class Soak {
public:
    explicit Soak(const Settings& settings) : settings_(settings), random_(settings.seed) {
        using Plain = HubEndpoint<AsioTransport>;
        using Tls = HubEndpoint<TlsTransport>;
        const auto add = [this](auto endpoint) {
            auto* const made = endpoint.get();
            endpoints_.push_back(std::move(endpoint));
            return made;
        };
        Plain* const plain = add(std::make_unique<Plain>(
            "all", false, false, OverflowPolicy::dropOldest, nullptr, book_, decisions_, report_));
        Plain* const plainOwn = add(std::make_unique<Plain>(
            "own", true, false, OverflowPolicy::close, plain, book_, decisions_, report_));
        tls_ = add(std::make_unique<Tls>("tls-all", false, true, OverflowPolicy::close, nullptr,
                                         book_, decisions_, report_));
        Tls* const tlsOwn = add(std::make_unique<Tls>(
            "tls-own", true, true, OverflowPolicy::dropNewest, tls_, book_, decisions_, report_));
        toldDropped_ = [=] {
            return plain->toldDropped() + plainOwn->toldDropped() + tls_->toldDropped() +
                   tlsOwn->toldDropped();
        };
    }

    bool run() {
        const auto start = Clock::now();
        for (const auto& endpoint : endpoints_) {
            endpoint->start();
        }
        std::atomic<std::size_t> present{0};
        std::vector<std::thread> threads;
        constexpr unsigned clientThreads = 2;
        for (unsigned i = 0; i < clientThreads; ++i) {
            threads.emplace_back([&, i] {
                beClients(endpoints_, book_, report_, settings_.seed + 100 + i,
                          settings_.clients / clientThreads, pause_, over_, present);
            });
        }
        for (unsigned i = 0; i < stream::pushers; ++i) {
            threads.emplace_back([this, i] { push(i); });
        }
        threads.emplace_back([this] { watchLatency(); });

        // The first round is the warm-up.
        const int rounds = std::max(3, static_cast<int>(settings_.seconds / 60));
        const auto length = std::chrono::duration_cast<Clock::duration>(
            std::chrono::duration<double>(settings_.seconds) / rounds);
        Holdings first;
        Holdings last;
        for (int round = 1; round <= rounds; ++round) {
            disturb(Clock::now() + length);
            pause_ = true;
            const bool quiet = until(60s, [&] {
                book_.settle();
                return present == 0 && !witness_ && book_.size() == 0 && decisions_.empty();
            });
            report_.check(quiet, "it did not become quiet: " + std::to_string(present) +
                                     " clients, " + std::to_string(book_.size()) + " ledgers");
            checkQuiet();
            last = Holdings::now();
            first = round == 1 ? last : first;
            std::cout << "after " << std::chrono::duration<double>(Clock::now() - start).count()
                      << " s: " << last.memory << " KiB, " << last.descriptors << " descriptors, "
                      << last.threads << " threads, worst latency " << worstLatency_ << " ms"
                      << std::endl;
            pause_ = false;
        }
        over_ = true;
        for (std::thread& thread : threads) {
            thread.join();
        }
        for (const auto& endpoint : endpoints_) {
            endpoint->stop(2s);
        }
        until(10s, [this] {
            book_.settle();
            return book_.size() == 0;
        });
        compare(first, last);
        return report_.failures() == 0;
    }

private:
    static constexpr std::chrono::milliseconds nap{2};

    template <class Predicate>
    static bool until(std::chrono::seconds patience, Predicate predicate) {
        const auto deadline = Clock::now() + patience;
        while (!predicate()) {
            if (Clock::now() > deadline) {
                return false;
            }
            std::this_thread::sleep_for(nap);
        }
        return true;
    }

    // Pushing ------------------------------------------------------------------------------------

    // From here to its end the ledger is not settled.
    class Busy {
    public:
        explicit Busy(Ledger& ledger) : ledger_(ledger) { ++ledger_.busy; }
        Busy(const Busy&) = delete;
        Busy& operator=(const Busy&) = delete;
        ~Busy() { --ledger_.busy; }

    private:
        Ledger& ledger_;
    };

    void push(std::size_t pusher) {
        Random random(settings_.seed + 10 + static_cast<unsigned>(pusher));
        std::array<std::uint64_t, stream::count> sent{};  // to several
        while (!over_) {
            decisions_.decideSome(report_);
            Endpoint& endpoint = *endpoints_[random() % endpoints_.size()];
            const auto toSeveral = [&](std::size_t of, std::size_t padding) {
                return messageOf(of, ++sent[of], padding);
            };
            switch (random() % 16) {
                case 0:  // a burst, small or large
                case 1: {
                    const bool large = random() % 2 == 0;
                    for (const Book::Target& target : book_.some(1, random)) {
                        for (int i = large ? 40 : 300; i > 0; --i) {
                            pushTo(target, pusher, random, large ? 32 * 1024 : 20);
                        }
                    }
                    break;
                }
                case 2:
                case 3:
                    pushToMore(endpoint, toSeveral(stream::shared + pusher, 10), random);
                    break;
                case 4:
                    if (!endpoint.own) {
                        for (auto i = random() % 50; i > 0; --i) {
                            countResult(
                                endpoint.sendAll(toSeveral(stream::shared + pusher, 50), {}));
                        }
                    }
                    break;
                case 5:
                    if (!endpoint.own) {
                        const std::size_t key = random() % stream::keys;
                        const std::string name =
                            "key" + std::to_string(key) + "." + std::to_string(pusher);
                        PushOptions push;
                        push.key = name;
                        countResult(endpoint.sendAll(
                            toSeveral(stream::sharedKeyed + pusher * stream::keys + key, 200),
                            push));
                    }
                    break;
                case 6:
                    if (!endpoint.own && random() % 4 == 0) {
                        PushOptions push;
                        push.whenQueueFull = anyPolicy(random);
                        countResult(
                            endpoint.sendAll(toSeveral(stream::shared + pusher, 16 * 1024), push));
                    }
                    break;
                case 7:
                    for (const Book::Target& target : book_.some(1, random)) {
                        if (!endpoint.own) {
                            countResult(endpoint.sendAllExcept(
                                target.session, toSeveral(stream::shared + pusher, 50)));
                        }
                    }
                    break;
                case 8:
                    if (!endpoint.own) {
                        countResult(endpoint.sendOne("g" + std::to_string(random() % 20),
                                                     toSeveral(stream::shared + pusher, 50), {}));
                    }
                    break;
                case 9:
                    for (const Book::Target& target : book_.some(1, random)) {
                        if (random() % 8 == 0) {
                            target.session->close(CloseCode::serviceRestart, "the host says so");
                            report_.count("closed by the host");
                        }
                    }
                    break;
                default:
                    for (const Book::Target& target : book_.some(8, random)) {
                        pushTo(target, pusher, random, random() % 200);
                    }
            }
            std::this_thread::sleep_for(nap);  // the pace, not a wait
        }
    }

    static OverflowPolicy anyPolicy(Random& random) {
        constexpr OverflowPolicy policies[] = {
            OverflowPolicy::dropNewest, OverflowPolicy::dropOldest, OverflowPolicy::conflate};
        return random() % 64 == 0 ? OverflowPolicy::close : policies[random() % 3];
    }

    void countResult(const SendResult& result) {
        report_.count("pushes accepted", result.accepted);
        report_.count("pushes refused", result.refused);
        report_.count("pushes to who was closing", result.closing);
        report_.count("pushes to who was offline", result.offline);
    }

    void pushTo(const Book::Target& target, std::size_t pusher, Random& random,
                std::size_t padding) {
        Ledger& ledger = *target.ledger;
        const Busy busy(ledger);
        PushOptions push;
        std::string key;
        std::size_t of = stream::direct + pusher;
        if (ledger.strict) {
            push.whenQueueFull =
                random() % 64 == 0 ? OverflowPolicy::close : OverflowPolicy::dropNewest;
        } else {
            push.whenQueueFull = anyPolicy(random);
            if (push.whenQueueFull == OverflowPolicy::conflate) {
                const std::size_t number = random() % stream::keys;
                of = stream::keyed + pusher * stream::keys + number;
                key = "k" + std::to_string(of);
                push.key = key;
            }
        }
        const auto text = messageOf(of, ledger.sent[of] + 1, padding);
        const SendResult result = target.session->send(text, push);
        ledger.sent[of] += result.accepted;
        ledger.accepted += result.accepted;
        countResult(result);
    }

    void pushToMore(Endpoint& endpoint, const std::string& text, Random& random) {
        std::vector<Book::Target> targets = book_.some(8, random, endpoint.name);
        std::vector<std::unique_ptr<Busy>> busy;
        std::vector<std::string> users;
        std::set<Ledger*> ledgers;
        for (const Book::Target& target : targets) {
            if (ledgers.insert(target.ledger.get()).second) {
                busy.push_back(std::make_unique<Busy>(*target.ledger));
                users.push_back(target.session->userId());
            }
        }
        const SendResult result = endpoint.sendMore(users, text);
        // Where each user has one session, and all of them accepted, it is known whose it was.
        for (Ledger* const ledger : ledgers) {
            const bool known = endpoint.own && result.accepted == ledgers.size();
            (known ? ledger->accepted : ledger->perhaps) +=
                endpoint.own && result.accepted > 0 ? 1 : 0;
        }
        countResult(result);
    }

    // Latency ------------------------------------------------------------------------------------

    // A well-behaved client over each transport asks all the time, and is to be answered soon.
    void watchLatency() {
        while (!over_) {
            for (Endpoint* const endpoint : {endpoints_[1].get(), endpoints_[3].get()}) {
                if (!pause_ && !over_) {
                    witness_ = true;
                    ask(*endpoint);
                    witness_ = false;
                }
            }
            std::this_thread::sleep_for(nap);
        }
    }

    void ask(Endpoint& endpoint) {
        const LedgerPtr ledger = book_.enter(endpoint.name, true, true);
        try {
            SocketClient client = endpoint.connect().opened(endpoint.target(*ledger, "now"));
            const auto leaves = Clock::now() + 1s;
            bool answered = false;
            std::uint64_t asked = 0;
            Clock::time_point since;
            while (!ledger->sawClose) {
                if (!pause_ && Clock::now() < leaves && (asked == 0 || answered)) {
                    answered = false;
                    ++asked;
                    since = Clock::now();
                    client.sendText("how long does this take?");
                } else if (answered || pause_) {
                    client.sendClose(CloseCode::normal);
                    asked = 0;
                    answered = false;
                }
                const std::uint64_t before = ledger->last[stream::hook];
                const auto frame = client.read();
                if (!frame) {
                    break;
                }
                if (frame->opcode == Opcode::text) {
                    ledger->take(frame->payload);
                } else if (frame->opcode == Opcode::close) {
                    ledger->sawClose = true;
                    client.sendClose(CloseCode::normal);
                } else if (frame->opcode == Opcode::ping) {
                    client.sendBytes(clientFrame(Opcode::pong, frame->payload));
                }
                // The first answer is to onOpen.
                if (asked > 0 && ledger->last[stream::hook] > before &&
                    ledger->last[stream::hook] == asked + 1) {
                    answered = true;
                    const std::chrono::duration<double, std::milli> took = Clock::now() - since;
                    worstLatency_ = std::max<double>(worstLatency_, took.count());
                    report_.count("questions answered");
                }
            }
        } catch (const std::exception&) {
            report_.count("witnesses that found the hub stopped");
        }
        ledger->leftAt = Clock::now();
        ledger->left = true;
    }

    // Disturbances -------------------------------------------------------------------------------

    void disturb(Clock::time_point end) {
        const bool isShort = settings_.seconds < 60;
        auto nextReload = Clock::now() + 1s;
        auto nextStop = Clock::now() + (isShort ? 2s : 7s);
        while (Clock::now() < end) {
            book_.settle();
            if (Clock::now() >= nextReload) {
                nextReload = Clock::now() + (isShort ? 1s : 3s);
                reload();
            }
            if (Clock::now() >= nextStop && Clock::now() + 2s < end) {
                nextStop = Clock::now() + (isShort ? 2s : 7s);
                restart();
            }
            std::this_thread::sleep_for(20ms);  // the scenario, not a wait
        }
    }

    void reload() {
        const std::string name = "server " + std::to_string(++reloads_);
        TlsOptions options;
        options.certificates = {
            test::testAuthority().issue({{"CN", name.c_str()}}, {"DNS:localhost"}).forServer()};
        tls_->hub().transport().reload(options);
        report_.count("certificates reloaded");
        try {
            const SocketClient client = tls_->connect();
            report_.check(test::tlsOf(client).peerName() == name, "an old certificate was shown");
        } catch (const std::exception& error) {
            report_.fail(std::string("TLS after a reload: ") + error.what());
        }
    }

    // One hub, or all that share its listener.
    void restart() {
        const std::size_t first = random_() % endpoints_.size();
        const bool both = random_() % 2 == 0;
        const std::chrono::milliseconds deadline(random_() % 1500);
        const auto before = Clock::now();
        std::vector<Endpoint*> stopped{endpoints_[first].get()};
        if (both) {
            stopped.push_back(endpoints_[first ^ 1].get());
        }
        for (Endpoint* const endpoint : stopped) {
            endpoint->stop(deadline);
            report_.count("hubs stopped and started");
        }
        report_.check(Clock::now() - before < deadline * stopped.size() + 5s,
                      "stop took much longer than its deadline");
        for (Endpoint* const endpoint : stopped) {
            endpoint->start();
        }
    }

    // The end ------------------------------------------------------------------------------------

    void checkQuiet() {
        std::uint64_t dropped = 0;
        std::uint64_t conflated = 0;
        for (const auto& endpoint : endpoints_) {
            const HubStats stats = endpoint->stats();
            report_.check(stats.sessions == 0 && stats.users == 0 && stats.queuedBytes == 0,
                          endpoint->name + ": " + std::to_string(stats.sessions) +
                              " sessions and " + std::to_string(stats.queuedBytes) +
                              " bytes without a client");
            dropped += stats.droppedMessages;
            conflated += stats.conflatedMessages;
        }
        report_.check(dropped == toldDropped_(), "onDropped was told another number than HubStats");
        report_.check(dropped + conflated == book_.droppedMessages(),
                      "CloseInfo and HubStats differ in what was dropped: " +
                          std::to_string(book_.droppedMessages()) + " and " +
                          std::to_string(dropped + conflated));
    }

    void compare(const Holdings& first, const Holdings& last) {
        report_.check(first.descriptors == last.descriptors, "descriptors are not flat");
        report_.check(first.threads == last.threads, "threads are not flat");
        const long slack = sanitized ? first.memory / 2 + 64 * 1024 : first.memory / 10 + 8 * 1024;
        report_.check(last.memory <= first.memory + slack, "memory is not flat");
        report_.check(worstLatency_ <= settings_.latencyBound, "a well-behaved client waited long");
        std::cout << "\nWhat happened:\n";
        report_.print();
        std::cout << "\nworst latency of a well-behaved client: " << worstLatency_ << " ms (bound "
                  << settings_.latencyBound << ")\n"
                  << "memory: " << first.memory << " KiB after the warm-up, " << last.memory
                  << " at the end\n"
                  << "descriptors: " << first.descriptors << ", " << last.descriptors << '\n'
                  << "threads: " << first.threads << ", " << last.threads << '\n'
                  << "failures: " << report_.failures() << std::endl;
    }

    const Settings settings_;
    Random random_;
    Report report_;
    Book book_{report_};
    Decisions decisions_;
    std::vector<std::unique_ptr<Endpoint>> endpoints_;  // two on each listener
    HubEndpoint<TlsTransport>* tls_ = nullptr;
    std::function<std::uint64_t()> toldDropped_;
    std::atomic<bool> pause_{false};
    std::atomic<bool> over_{false};
    std::atomic<bool> witness_{false};  // it has a connection
    std::atomic<double> worstLatency_{0};
    int reloads_ = 0;
};

}  // namespace

int main(int argc, char* argv[]) {
    Settings settings;
    for (int i = 1; i + 1 < argc; i += 2) {
        const std::string option = argv[i];
        const double value = std::atof(argv[i + 1]);
        if (option == "--seconds") {
            settings.seconds = value;
        } else if (option == "--seed") {
            settings.seed = static_cast<unsigned>(value);
        } else if (option == "--clients") {
            settings.clients = static_cast<std::size_t>(value);
        } else if (option == "--latency") {
            settings.latencyBound = value;
        } else {
            std::cerr << "unknown option: " << option << '\n';
            return 2;
        }
    }
    std::cout << "soak: " << settings.seconds << " s, seed " << settings.seed << ", up to "
              << settings.clients << " clients" << std::endl;
    return Soak(settings).run() ? 0 : 1;
}
