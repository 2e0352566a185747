// Clients come and go while threads push: nothing accepted is lost unsaid, nothing is out of order.
// Takes as long as PUSHHUB_CHURN_SECONDS says.

#include "support/catch.hpp"
#include "support/harness.hpp"

#include <array>
#include <atomic>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace pushhub;
using namespace pushhub::test;

namespace {

constexpr int pushers = 4;
constexpr int clientThreads = 4;
constexpr int users = 20;

// What the test knows of one session: what was accepted for it, thread by thread, and its end.
struct Ledger {
    std::mutex mutex;
    std::array<std::vector<int>, pushers> accepted;  // sequence numbers, by pusher
    CloseInfo end;
    std::atomic<int> opened{0};
    std::atomic<int> closed{0};
    std::atomic<bool> calledAfterClose{false};
};

struct Received {
    std::uint64_t session = 0;
    std::array<std::vector<int>, pushers> messages;
};

int seconds() {
    const char* given = std::getenv("PUSHHUB_CHURN_SECONDS");
    return given ? std::atoi(given) : 5;
}

// Opens sessions, reads for a while, leaves in one way or another; tells what each one got.
template <class H>
void beClients(typename H::Hub& hub, unsigned seed, const std::atomic<bool>& over,
               std::vector<Received>& received) {
    std::minstd_rand random(seed);
    while (!over) {
        const std::string user = std::to_string(random() % users);
        auto client = H::connectSocket(hub).opened("/websocket/" + user);
        Received mine;
        const auto count = [&](const SocketClient::Frame& frame) {
            if (frame.opcode != protocol::Opcode::text) {
                return;
            }
            int pusher = 0;
            int number = 0;
            unsigned long session = 0;
            if (std::sscanf(frame.payload.c_str(), "id %lu", &session) == 1) {
                mine.session = session;
            } else if (std::sscanf(frame.payload.c_str(), "%d %d", &pusher, &number) == 2) {
                mine.messages[static_cast<std::size_t>(pusher)].push_back(number);
            }
        };
        const auto stay = 1 + random() % 200;
        for (auto frames = stay; frames > 0; --frames) {
            const auto frame = client.read();
            if (!frame) {
                break;
            }
            count(*frame);
        }
        switch (random() % 4) {
            case 0:
                client.disconnect(true);
                break;  // vanishes
            case 1:
                client.disconnect();
                break;
            case 2:  // asks the server to close
                client.sendText("bye");
                while (const auto frame = client.read()) {
                    if (frame->opcode == protocol::Opcode::close) {
                        client.sendBytes(clientFrame(protocol::Opcode::close, frame->payload));
                    }
                    count(*frame);
                }
                break;
            default:
                client.sendClose(CloseCode::normal);
                while (const auto frame = client.read()) {
                    count(*frame);
                }
        }
        received.push_back(std::move(mine));
    }
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("churn: accepted = delivered + undelivered, received is a gapless prefix",
                        "[churn]", SocketTransports) {
    using H = Harness<TestType>;
    std::mutex mutex;
    std::map<std::uint64_t, std::shared_ptr<Ledger>> ledgers;
    Options options;
    options.port = 0;
    options.loops = 2;
    typename H::Hub hub(options);
    hub.onOpen([&](SessionPtr session) {
        auto ledger = std::make_shared<Ledger>();
        ++ledger->opened;
        session->emplaceData<std::shared_ptr<Ledger>>(ledger);
        {
            const std::lock_guard<std::mutex> lock(mutex);
            ledgers[session->id().value()] = ledger;
        }
        session->send("id " + std::to_string(session->id().value()));
    });
    const auto ledgerOf = [](const SessionPtr& session) {
        return *session->data<std::shared_ptr<Ledger>>();
    };
    hub.onMessage([&](SessionPtr session, std::string_view text) {
        if (ledgerOf(session)->closed > 0) {
            ledgerOf(session)->calledAfterClose = true;
        }
        if (text == "bye") {
            session->close(CloseCode::normal, "bye");
        }
    });
    hub.onClose([&](SessionPtr session, CloseInfo info) {
        ledgerOf(session)->end = std::move(info);
        ++ledgerOf(session)->closed;
    });
    hub.start();

    // Session by session, so that the test knows whose each message was: a hub-wide push says only
    // how many took it.
    std::atomic<bool> pushingOver{false};
    std::vector<std::thread> threads;
    std::atomic<std::uint64_t> pushes{0};
    for (int pusher = 0; pusher < pushers; ++pusher) {
        threads.emplace_back([&, pusher] {
            std::minstd_rand random(static_cast<unsigned>(pusher) + 1);
            int number = 0;
            while (!pushingOver) {
                ++number;
                const std::string text = std::to_string(pusher) + " " + std::to_string(number);
                const std::string user = std::to_string(random() % users);
                for (const SessionPtr& session : hub.sessions(user)) {
                    std::shared_ptr<Ledger> ledger;
                    {
                        const std::lock_guard<std::mutex> lock(mutex);
                        const auto found = ledgers.find(session->id().value());
                        if (found == ledgers.end()) {
                            continue;
                        }
                        ledger = found->second;
                    }
                    const std::lock_guard<std::mutex> lock(ledger->mutex);
                    const SendResult result = session->send(text);
                    if (result.accepted == 1) {
                        ledger->accepted[static_cast<std::size_t>(pusher)].push_back(number);
                        ++pushes;
                    }
                }
                if (number % 16 == 0) {
                    hub.sendAll("all");
                    hub.sendMore({user, "nobody"}, "more");
                }
            }
        });
    }

    std::atomic<bool> clientsOver{false};
    std::vector<std::vector<Received>> received(clientThreads);
    std::vector<std::thread> clients;
    for (unsigned i = 0; i < clientThreads; ++i) {
        clients.emplace_back([&, i] { beClients<H>(hub, 100 + i, clientsOver, received[i]); });
    }
    const auto end = Clock::now() + std::chrono::seconds(seconds());
    while (Clock::now() < end) {  // this is the scenario, not a wait for something
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    clientsOver = true;
    for (std::thread& thread : clients) {
        thread.join();
    }
    pushingOver = true;
    for (std::thread& thread : threads) {
        thread.join();
    }
    hub.stop();

    CHECK(hub.sessionCount() == 0);
    CHECK(hub.userCount() == 0);
    std::map<std::uint64_t, Received> got;
    for (std::vector<Received>& list : received) {
        for (Received& one : list) {
            got[one.session] = std::move(one);
        }
    }
    std::uint64_t messages = 0;
    std::uint64_t undelivered = 0;
    for (const auto& [id, ledger] : ledgers) {
        INFO("session " << id);
        REQUIRE(ledger->opened == 1);
        REQUIRE(ledger->closed == 1);
        REQUIRE_FALSE(ledger->calledAfterClose);
        undelivered += ledger->end.undeliveredMessages;
        const Received& mine = got[id];
        for (std::size_t pusher = 0; pusher < pushers; ++pusher) {
            const std::vector<int>& accepted = ledger->accepted[pusher];
            const std::vector<int>& arrived = mine.messages[pusher];
            REQUIRE(arrived.size() <= accepted.size());
            REQUIRE(std::equal(arrived.begin(), arrived.end(), accepted.begin()));
            messages += arrived.size();
        }
    }
    WARN(ledgers.size() << " sessions, " << pushes << " pushes accepted one by one, " << messages
                        << " received, " << undelivered << " undelivered at a close");
    CHECK(ledgers.size() > 20);
    CHECK(messages > 100);
}

TEMPLATE_LIST_TEST_CASE("churn: the count of accepted messages is exact", "[churn]",
                        SocketTransports) {
    using H = Harness<TestType>;
    // Only unicasts, so that every accepted message is known at the call.
    struct Account {
        std::atomic<std::uint64_t> accepted{0};
        std::atomic<std::uint64_t> told{0};
        std::atomic<int> closed{0};
    };
    Options options;
    options.port = 0;
    options.loops = 2;
    options.maxQueueMessages = 50;
    options.whenQueueFull = OverflowPolicy::dropNewest;
    std::mutex mutex;
    std::vector<std::pair<SessionPtr, std::shared_ptr<Account>>> sessions;
    std::vector<std::shared_ptr<Account>> accounts;
    typename H::Hub hub(options);
    hub.onOpen([&](SessionPtr session) {
        auto account = std::make_shared<Account>();
        session->emplaceData<std::shared_ptr<Account>>(account);
        const std::lock_guard<std::mutex> lock(mutex);
        sessions.emplace_back(session, account);
        accounts.push_back(account);
    });
    hub.onMessage([](SessionPtr session, std::string_view) { session->close(); });
    hub.onClose([&](SessionPtr session, CloseInfo info) {
        const auto account = *session->data<std::shared_ptr<Account>>();
        account->told = info.deliveredMessages + info.undeliveredMessages;
        ++account->closed;
    });
    hub.start();
    std::atomic<bool> over{false};
    std::vector<std::thread> threads;
    for (int i = 0; i < pushers; ++i) {
        threads.emplace_back([&] {
            while (!over) {
                std::vector<std::pair<SessionPtr, std::shared_ptr<Account>>> now;
                {
                    const std::lock_guard<std::mutex> lock(mutex);
                    now = sessions;
                }
                for (const auto& [session, account] : now) {
                    account->accepted += session->send(std::string(500, 'x')).accepted;
                }
            }
        });
    }
    const auto end = Clock::now() + std::chrono::seconds(std::max(1, seconds() / 3));
    std::minstd_rand random(7);
    while (Clock::now() < end) {
        std::vector<SocketClient> clients;
        for (int i = 0; i < 8; ++i) {
            clients.push_back(H::connectSocket(hub).opened("/websocket/" + std::to_string(i)));
        }
        for (SocketClient& client : clients) {
            for (auto reads = random() % 20; reads > 0; --reads) {
                client.readMore();
            }
            switch (random() % 3) {
                case 0:
                    client.sendText("close me");
                    client.readMore();
                    break;
                case 1:
                    client.sendClose(CloseCode::normal);
                    client.readMore();
                    break;
                default:
                    client.disconnect(true);
            }
        }
        const std::lock_guard<std::mutex> lock(mutex);
        sessions.clear();
    }
    over = true;
    for (std::thread& thread : threads) {
        thread.join();
    }
    hub.stop();
    for (const auto& account : accounts) {
        REQUIRE(account->closed == 1);
        REQUIRE(account->told == account->accepted);
    }
    CHECK(accounts.size() > 8);
}
