// Calls that begin and end a hub, in each of its states, from each kind of thread: every one either
// works or throws at once, and none waits for itself.

#include "support/catch.hpp"
#include "support/socket_client.hpp"
#include "support/wait.hpp"

#ifndef _WIN32
#include <sys/wait.h>
#include <unistd.h>
#endif

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <asio/executor_work_guard.hpp>
#include <asio/post.hpp>

#include <pushhub/pushhub.hpp>

using namespace pushhub;
using namespace pushhub::test;
using namespace std::chrono_literals;

namespace {

enum class Call { start, run, stop, setHook, destroy, push, startAnother };
enum class State { idle, running, stoppedElsewhere, stoppedHere, stopped };
enum class Place { elsewhere, hookOfIt, hookOfAnother, handlerOfHost };

Options optionsOf(const std::string& path) {
    Options options;
    options.port = 0;
    options.loops = 2;
    options.path = path;
    return options;
}

// What the call has to do in that state and place: "ok", or what its std::logic_error says.
std::string expected(Call call, State state, Place place) {
    const bool waits = place != Place::elsewhere;  // for itself, if it waited
    switch (call) {
        case Call::start:
            if (state == State::running) {
                return "is started";
            }
            return state == State::stoppedElsewhere && waits ? "in a hook while another thread"
                   : state == State::stoppedHere             ? "start()"
                                                             : "ok";
        case Call::run:
            return waits ? "run() in a hook or a handler" : "ok";
        case Call::setHook:
            return state == State::idle || state == State::stopped ? "ok" : "set after start()";
        case Call::stop:
        case Call::destroy:
        case Call::push:
        case Call::startAnother:
            return "ok";
    }
    return {};
}

// A hub, another one on its listener, and a client of each.
class World {
public:
    explicit World(bool hosted) {
        if (hosted) {
            context_ = std::make_unique<asio::io_context>();
            work_.emplace(context_->get_executor());
            thread_ = std::thread([this] { context_->run(); });
            another_ = std::make_unique<PushHub<>>(optionsOf("/another/{userId}"), *context_);
        } else {
            another_ = std::make_unique<PushHub<>>(optionsOf("/another/{userId}"));
        }
        hub_ = std::make_unique<PushHub<>>(*another_, onListener("/hub/{userId}"));
        third_ = std::make_unique<PushHub<>>(*another_, onListener("/third/{userId}"));
        const auto act = [this](SessionPtr, std::string_view) { action_(); };
        hub_->onMessage(act);
        another_->onMessage(act);
        another_->start();
    }

    ~World() {
        clients_.clear();  // so that nobody waits for their answers
        hub_.reset();
        third_.reset();
        another_.reset();
        work_.reset();
        if (thread_.joinable()) {
            thread_.join();
        }
    }

    void check(Call call, State state, Place place) {
        if (state == State::stopped) {
            hub_->start();
            hub_->stop();
        }
        if (state != State::idle && state != State::stopped) {
            hub_->start();
            clients_.push_back(SocketClient::open(another_->port(), "/hub/a"));
            REQUIRE(eventually([this] { return hub_->sessionCount() == 1; }));
        }
        clients_.push_back(SocketClient::open(another_->port(), "/another/a"));
        SocketClient& client = place == Place::hookOfIt ? clients_.front() : clients_.back();

        std::promise<void> entered;
        std::promise<void> prepared;
        std::promise<std::string> outcome;
        action_ = [&] {
            entered.set_value();
            prepared.get_future().wait();
            if (state == State::stoppedHere) {
                hub_->stop(20ms);
            }
            outcome.set_value(outcomeOf(call));
        };
        std::vector<std::thread> threads;
        switch (place) {
            case Place::elsewhere:
                threads.emplace_back(action_);
                break;
            case Place::hookOfIt:
            case Place::hookOfAnother:
                client.sendText("act");
                break;
            case Place::handlerOfHost:
                asio::post(*context_, action_);
                break;
        }
        entered.get_future().wait();
        if (state == State::stoppedElsewhere) {
            threads.emplace_back([this] { hub_->stop(20ms); });
            REQUIRE(eventually([this] { return !hub_->isRunning(); }));
        }
        prepared.set_value();
        auto result = outcome.get_future();
        if (call == Call::run && place == Place::elsewhere) {
            if (state == State::idle) {
                REQUIRE(eventually([this] { return hub_->isRunning(); }));
            }
            if (state == State::idle || state == State::running) {
                hub_->stop(20ms);
            }
        }
        REQUIRE(result.wait_for(20s) == std::future_status::ready);
        const std::string want = expected(call, state, place);
        const std::string got = result.get();
        if (want == "ok") {
            CHECK(got == "ok");
        } else {
            CHECK_THAT(got, Catch::Contains(want));
        }
        for (std::thread& thread : threads) {
            thread.join();
        }
    }

private:
    Options onListener(const std::string& path) const {
        Options options = optionsOf(path);
        options.maxSessions = 10;
        return options;
    }

    std::string outcomeOf(Call call) {
        try {
            switch (call) {
                case Call::start:
                    hub_->start();
                    break;
                case Call::run:
                    hub_->run();
                    break;
                case Call::stop:
                    hub_->stop(20ms);
                    break;
                case Call::setHook:
                    hub_->onOpen([](SessionPtr) {});
                    break;
                case Call::destroy:
                    hub_.reset();
                    break;
                case Call::push:
                    hub_->sendAll("x");
                    hub_->sendOne("a", "x");
                    break;
                case Call::startAnother:
                    third_->start();
                    break;
            }
            return "ok";
        } catch (const std::logic_error& error) {
            return error.what();
        }
    }

    std::unique_ptr<asio::io_context> context_;
    std::optional<asio::executor_work_guard<asio::io_context::executor_type>> work_;
    std::thread thread_;
    std::function<void()> action_;
    std::unique_ptr<PushHub<>> another_;
    std::unique_ptr<PushHub<>> hub_;
    std::unique_ptr<PushHub<>> third_;
    std::vector<SocketClient> clients_;
};

}  // namespace

TEST_CASE("every life-cycle call, in every state, on every kind of thread") {
    for (const Call call : {Call::start, Call::run, Call::stop, Call::setHook, Call::destroy,
                            Call::push, Call::startAnother}) {
        for (const State state : {State::idle, State::running, State::stoppedElsewhere,
                                  State::stoppedHere, State::stopped}) {
            for (const Place place :
                 {Place::elsewhere, Place::hookOfIt, Place::hookOfAnother, Place::handlerOfHost}) {
                const bool started = state != State::idle && state != State::stopped;
                if ((place == Place::hookOfIt && !started) ||
                    (place == Place::elsewhere && state == State::stoppedHere) ||
                    // To destroy what another thread is using is nobody's right.
                    (call == Call::destroy && state == State::stoppedElsewhere)) {
                    continue;
                }
                for (const bool hosted : {false, true}) {
                    if (place == Place::handlerOfHost && !hosted) {
                        continue;
                    }
                    INFO("call " << static_cast<int>(call) << ", state " << static_cast<int>(state)
                                 << ", place " << static_cast<int>(place) << ", hosted " << hosted);
                    World(hosted).check(call, state, place);
                }
            }
        }
    }
}

TEST_CASE("two hooks on two loops destroy a hub each") {
    PushHub<> first(optionsOf("/first/{userId}"));
    auto second = std::make_unique<PushHub<>>(first, optionsOf("/second/{userId}"));
    auto third = std::make_unique<PushHub<>>(first, optionsOf("/third/{userId}"));
    std::atomic<int> inHook{0};
    std::atomic<int> done{0};
    first.onMessage([&](SessionPtr, std::string_view text) {
        ++inHook;
        eventually([&] { return inHook == 2; });
        (text == "second" ? second : third).reset();
        ++done;
    });
    first.start();
    second->start();
    third->start();
    std::vector<SocketClient> clients;
    for (const char* target : {"/first/a", "/first/b", "/second/a", "/second/b", "/third/a"}) {
        clients.push_back(SocketClient::open(first.port(), target));
    }
    clients[0].sendText("second");  // on two loops, since those are dealt out in turn
    clients[1].sendText("third");
    CHECK(eventually([&] { return done == 2; }));
    for (std::size_t i = 2; i < clients.size(); ++i) {
        CHECK(clients[i].readClose() == CloseCode::goingAway);
    }
    CHECK(SocketClient(first.port()).handshake("/second/a") == 404);
}

TEST_CASE("a hub may be destroyed in any of its hooks") {
    const std::string in = GENERATE("onHandshake", "onFirstMessage", "onOpen", "onMessage",
                                    "onClose", "onHttp", "onHttp unanswered");
    const bool alone = GENERATE(true, false);
    CAPTURE(in, alone);
    PushHub<> another(optionsOf("/another/{userId}"));
    auto hub = alone ? std::make_unique<PushHub<>>(optionsOf("/hub/{userId}"))
                     : std::make_unique<PushHub<>>(another, optionsOf("/hub/{userId}"));
    if (!alone) {
        another.start();
    }
    std::atomic<bool> destroyed{false};
    const auto text = std::make_shared<const std::string>("captured");
    const auto destroyIn = [&, text](const char* hook) {
        if (in.substr(0, in.find(' ')) == hook) {
            hub.reset();
            destroyed = *text == "captured";  // what it has captured is still there
        }
    };
    if (in == "onHandshake") {
        hub->onHandshake([=](const HandshakePtr& handshake) {
            handshake->accept();
            destroyIn("onHandshake");
        });
    }
    if (in == "onFirstMessage") {
        hub->onFirstMessage([=](const HandshakePtr& handshake, std::string_view) {
            Acceptance acceptance;
            acceptance.userId = "a";
            handshake->accept(std::move(acceptance));
            destroyIn("onFirstMessage");
        });
    }
    hub->onOpen([=](SessionPtr) { destroyIn("onOpen"); });
    hub->onMessage([=](SessionPtr, std::string_view) { destroyIn("onMessage"); });
    hub->onClose([=](SessionPtr, CloseInfo) { destroyIn("onClose"); });
    const bool answers = in == "onHttp";
    hub->onHttp([=](const HttpRequest&) {
        destroyIn("onHttp");  // after this the test may have ended
        return answers ? std::optional<HttpResponse>(HttpResponse{200, "x"}) : std::nullopt;
    });
    hub->start();
    SocketClient client(hub->port());
    if (in.substr(0, 6) == "onHttp") {
        client.sendBytes("GET /hub/a HTTP/1.1\r\nHost: x\r\n\r\n");
    } else {
        client.sendBytes(handshakeRequest("/hub/a"));
        client.sendBytes(clientFrame(protocol::Opcode::text, "x"));
        if (in == "onClose") {
            client.sendClose(CloseCode::normal);
        }
    }
    REQUIRE(eventually([&] { return destroyed.load(); }));
}

TEST_CASE("a stop that comes before run is not lost, and counts once") {
    PushHub<> hub(optionsOf("/hub/{userId}"));
    SECTION("after start") {
        hub.start();
        hub.stop();
        hub.run();
    }
    SECTION("before anything") {
        hub.stop();
        hub.run();
    }
    SECTION("unless the hub is started again") {
        hub.stop();
        hub.start();
    }
    std::thread running([&] { hub.run(); });
    REQUIRE(eventually([&] { return hub.isRunning(); }));
    hub.stop();
    running.join();
}

TEST_CASE("of two stops the earlier deadline counts") {
    for (const bool rude : {true, false}) {
        Options options = optionsOf("/hub/{userId}");
        options.closeTimeout = 1h;
        options.stopSpread = rude ? 0ms : 1h;  // its close would come much later
        std::atomic<int> closes{0};
        PushHub<> hub(options);
        hub.onClose([&](SessionPtr, const CloseInfo& info) {
            closes += info.code == CloseCode::goingAway && !info.clean ? 1 : 0;
        });
        hub.start();
        auto first = SocketClient::open(hub.port(), "/hub/a");
        auto second = SocketClient::open(hub.port(), "/hub/b");
        CHECK(eventually([&] { return hub.sessionCount() == 2; }));
        std::thread stopping([&] { hub.stop(1h); });
        CHECK(eventually([&] { return !hub.isRunning(); }));
        hub.stop(20ms);
        CHECK(hub.sessionCount() == 0);
        stopping.join();
        CHECK(closes == 2);
        hub.start();
        SocketClient::open(hub.port(), "/hub/a");
    }
}

TEST_CASE("a hub that is destroyed on a thread of the host's does not keep it") {
    const bool inHook = GENERATE(true, false);
    const bool stopped = GENERATE(true, false);
    for (int i = 0; i < (stopped ? 100 : 1); ++i) {  // the thread that stops may be anywhere
        asio::io_context context;
        auto hub = std::make_unique<PushHub<>>(optionsOf("/hub/{userId}"), context);
        auto begin = Clock::now();
        auto end = begin;
        const auto destroy = [&] {
            if (stopped) {
                hub->stop();
                const auto until = Clock::now() + i % 10 * 300us;
                while (Clock::now() < until) {
                }
            }
            begin = Clock::now();
            hub.reset();
            end = Clock::now();
        };
        hub->onOpen([&](SessionPtr) {
            if (inHook) {
                destroy();
            } else {
                asio::post(context, destroy);
            }
        });
        hub->start();
        SocketClient client(hub->port());
        client.sendBytes(handshakeRequest("/hub/a"));
        context.run();  // until nothing of the hub is left
        CHECK(client.readStatus() == 101);
        CHECK(client.readClose() == CloseCode::goingAway);
        CHECK(begin < end);
        CHECK(end - begin < 2s);
    }
}

TEST_CASE("a destructor waits for seconds, also if a hook has begun a stop of an hour") {
    Options options = optionsOf("/hub/{userId}");
    options.closeTimeout = 1h;
    auto hub = std::make_unique<PushHub<>>(options);
    hub->onMessage([&](SessionPtr, std::string_view) { hub->stop(1h); });
    hub->start();
    auto client = SocketClient::open(hub->port(), "/hub/a");
    client.sendText("stop");
    CHECK(client.readClose() == CloseCode::goingAway);
    const auto begin = Clock::now();
    hub.reset();
    CHECK(Clock::now() - begin < pushhub::test::patience);
}

TEST_CASE("onLog of start and stop may make any life-cycle call") {
    std::vector<std::string> said;
    PushHub<> hub(optionsOf("/hub/{userId}"));
    const auto call = [&](auto function) {
        try {
            function();
            said.push_back("ok");
        } catch (const std::logic_error& error) {
            said.push_back(error.what());
        }
    };
    hub.onLog([&](const LogRecord& record) {
        call([&] { hub.start(); });
        call([&] { hub.run(); });
        call([&] { hub.onOpen([](SessionPtr) {}); });
        if (record.event == "started") {
            call([&] { hub.stop(20ms); });  // begins once the hook has returned
        }
    });
    hub.start();
    REQUIRE(eventually([&] { return !hub.isRunning(); }));
    hub.stop();  // waits for the other one
    REQUIRE(said.size() == 7);
    CHECK_THAT(said[0], Catch::Contains("start()"));
    CHECK_THAT(said[1], Catch::Contains("run()"));
    CHECK_THAT(said[2], Catch::Contains("set after start()"));
    CHECK(said[3] == "ok");
    CHECK_THAT(said[4], Catch::Contains("start()"));
    CHECK_THAT(said[5], Catch::Contains("run()"));
    CHECK_THAT(said[6], Catch::Contains("set after start()"));
}

TEST_CASE("start does not wait for a stop of a hook that waits for it") {
    PushHub<> hub(optionsOf("/hub/{userId}"));
    PushHub<> another(hub, optionsOf("/another/{userId}"));
    std::optional<SocketClient> client;
    std::promise<void> stopped;
    hub.onOpen([&](SessionPtr) {
        hub.stop(20ms);
        stopped.set_value();
    });
    hub.onLog([&](const LogRecord& record) {
        if (record.event == "started") {
            client.emplace(SocketClient::open(hub.port(), "/hub/a"));
            stopped.get_future().wait();
            another.start();
        }
    });
    hub.start();
    CHECK(another.isRunning());
    CHECK(client->readClose() == CloseCode::goingAway);
    REQUIRE(eventually([&] { return !hub.isRunning(); }));
}

TEST_CASE("each thread that is in run returns") {
    PushHub<> hub(optionsOf("/hub/{userId}"));
    hub.start();
    std::vector<std::thread> threads;
    std::atomic<int> entered{0};
    for (int i = 0; i < 3; ++i) {
        threads.emplace_back([&] {
            ++entered;
            hub.run();
        });
    }
    REQUIRE(eventually([&] { return entered == 3; }));
    hub.stop();
    threads.emplace_back([&] { hub.stop(); });  // for one that had not come that far
    for (std::thread& thread : threads) {
        thread.join();
    }
}

TEST_CASE("a decision of the host runs no hook before it returns") {
    PushHub<> hub(optionsOf("/hub/{userId}"));
    std::mutex mutex;  // of the application's, which its hooks take
    HandshakePtr kept;
    hub.onHandshake([&](const HandshakePtr& handshake) {
        const std::lock_guard<std::mutex> lock(mutex);
        if (handshake->userId() == "later") {
            kept = handshake;
        } else if (handshake->userId() == "nobody") {
            handshake->reject(403);
        } else {
            handshake->accept();
        }
    });
    hub.onOpen([&](SessionPtr) { const std::lock_guard<std::mutex> lock(mutex); });
    hub.onLog([&](const LogRecord& record) {
        if (record.event != "started" && record.event != "stopped") {
            const std::lock_guard<std::mutex> lock(mutex);
        }
    });
    hub.onMessage([&](SessionPtr, std::string_view) {
        const std::lock_guard<std::mutex> lock(mutex);
        kept->accept();
    });
    hub.start();
    auto client = SocketClient::open(hub.port(), "/hub/a");
    CHECK(SocketClient(hub.port()).handshake("/hub/nobody") == 403);
    SocketClient later(hub.port());
    later.sendBytes(handshakeRequest("/hub/later"));
    REQUIRE(eventually([&] {
        const std::lock_guard<std::mutex> lock(mutex);
        return kept != nullptr;
    }));
    client.sendText("accept");
    CHECK(eventually([&] { return hub.isOnline("later"); }));
}

TEST_CASE("handlers of a host's io_context, and hooks, run on the host's threads only") {
    asio::io_context context;
    auto work = asio::make_work_guard(context);
    PushHub<> hub(optionsOf("/hub/{userId}"), context);
    std::thread host([&] { context.run(); });
    const std::thread::id hostId = host.get_id();
    std::atomic<bool> inside{false};
    std::atomic<int> wrong{0};
    const auto enter = [&] {
        wrong += std::this_thread::get_id() != hostId || inside.exchange(true) ? 1 : 0;
    };
    hub.onClose([&](SessionPtr, CloseInfo) {
        enter();
        inside = false;
    });
    hub.start();
    auto client = SocketClient::open(hub.port(), "/hub/a");
    std::promise<void> entered;
    asio::post(context, [&] {
        enter();
        entered.set_value();
        // Until the other thread is in `stop`, and for longer than its deadline.
        eventually([&] { return !hub.isRunning(); });
        const auto end = Clock::now() + 300ms;
        eventually([&] { return Clock::now() > end; });
        inside = false;
    });
    for (int i = 0; i < 20; ++i) {
        asio::post(context, [&] {
            enter();
            inside = false;
        });
    }
    entered.get_future().wait();
    hub.stop(50ms);
    CHECK(wrong == 0);
    work.reset();
    host.join();
    CHECK(wrong == 0);
}

TEST_CASE("where the host has left its io_context, stop still says good-bye") {
    asio::io_context context;
    PushHub<> hub(optionsOf("/hub/{userId}"), context);
    std::optional<CloseInfo> end;
    hub.onClose([&](SessionPtr, CloseInfo info) { end = std::move(info); });
    hub.start();
    bool ofHost = false;
    CloseCode code{};
    std::thread peer([&] {
        auto client = SocketClient::open(hub.port(), "/hub/a");
        client.sendText("x");
        code = client.readClose();
        client.sendClose(CloseCode::goingAway);
        client.read();
    });
    const bool stopped = GENERATE(true, false);
    while (hub.stats().messagesIn == 0) {
        context.run_for(10ms);
    }
    if (stopped) {
        context.stop();
    }
    asio::post(context, [&] { ofHost = true; });
    hub.stop(20s);
    peer.join();
    CHECK(code == CloseCode::goingAway);
    REQUIRE(end);
    CHECK(end->clean);
    CHECK_FALSE(ofHost);
}

#if defined(__SANITIZE_THREAD__) || defined(_WIN32)
#define PUSHHUB_TEST_NO_FORK
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define PUSHHUB_TEST_NO_FORK
#endif
#endif

#ifndef PUSHHUB_TEST_NO_FORK
namespace {

// The exit status of a child that runs `function`; nothing if it had to be killed.
std::optional<int> inChild(const std::function<void()>& function) {
    const pid_t child = ::fork();
    if (child == 0) {
        function();
        std::_Exit(99);
    }
    int status = 0;
    if (!eventually([&] { return ::waitpid(child, &status, WNOHANG) == child; })) {
        ::kill(child, SIGKILL);
        ::waitpid(child, &status, 0);
        return std::nullopt;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

}  // namespace

TEST_CASE("a forked child may stop and destroy its copy of the hub, and the parent's goes on") {
    auto hub = std::make_unique<PushHub<>>(optionsOf("/hub/{userId}"));
    hub->onMessage([](SessionPtr session, std::string_view text) { session->send(text); });
    hub->start();
    std::thread waiting([&] { hub->run(); });
    auto client = SocketClient::open(hub->port(), "/hub/a");
    CHECK(inChild([&] {
              hub->stop();
              hub.reset();
              std::_Exit(3);
          }) == 3);
    CHECK(inChild([&] {
              int refused = 0;
              for (const bool start : {true, false}) {
                  try {
                      start ? hub->start() : hub->run();
                  } catch (const std::logic_error&) {
                      ++refused;
                  }
              }
              std::_Exit(refused);
          }) == 2);
    client.sendText("still here");
    CHECK(client.readText() == "still here");
    hub->stop(20ms);
    waiting.join();
}

TEST_CASE("a forked child may not start a hub on its parent's listener, but one of its own") {
    PushHub<> hub(optionsOf("/hub/{userId}"));
    PushHub<> idle(hub, optionsOf("/idle/{userId}"));
    hub.start();
    CHECK(inChild([&] {
              int refused = 0;
              PushHub<> added(hub, optionsOf("/added/{userId}"));
              for (PushHub<>* one : {&added, &idle}) {
                  try {
                      one->start();
                  } catch (const std::logic_error&) {
                      ++refused;
                  }
                  one->stop();
              }
              PushHub<> own(optionsOf("/own/{userId}"));
              own.start();
              SocketClient::open(own.port(), "/own/a");
              own.stop(20ms);
              std::_Exit(refused);
          }) == 2);
    idle.start();
    SocketClient::open(hub.port(), "/idle/a");
}

TEST_CASE("a process ends by std::exit in a hook, with a hub that lives as long") {
    CHECK(inChild([] {
              static PushHub<> hub(optionsOf("/hub/{userId}"));
              static std::thread running;
              hub.onMessage([](SessionPtr, std::string_view) {
                  running.detach();
                  std::exit(4);
              });
              hub.start();
              running = std::thread([] { hub.run(); });
              auto client = SocketClient::open(hub.port(), "/hub/a");
              client.sendText("exit");
              client.read();
              eventually([] { return false; });
          }) == 4);
}
#endif
