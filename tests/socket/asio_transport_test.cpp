// What is particular to sockets: addresses, ports, threads, the host's io_context, descriptors.

#include "support/any_port.hpp"
#include "support/catch.hpp"
#include "support/proxy_header.hpp"
#include "support/socket_client.hpp"
#include "support/wait.hpp"

#ifndef _WIN32
#include <fcntl.h>
#include <sys/resource.h>
#endif
#if defined(__linux__)
#include <sched.h>
#endif

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <asio/ip/tcp.hpp>
#include <asio/read.hpp>

#include <pushhub/pushhub.hpp>

using namespace pushhub;
using namespace pushhub::test;
using namespace std::chrono_literals;

TEST_CASE("a port in use is named by start, and can be tried again") {
    PushHub<> first(anyPort());
    first.start();
    Options options = anyPort();
    options.port = first.port();
    PushHub<> second(options);
    try {
        second.start();
        FAIL("two listeners on one port");
    } catch (const std::system_error& error) {
        CHECK(error.code() == std::errc::address_in_use);
        const std::string what = error.what();
        INFO(what);
        CHECK(what.find("127.0.0.1:" + std::to_string(first.port())) != std::string::npos);
    }
    CHECK_FALSE(second.isRunning());
    first.stop();
    second.start();
    auto client = SocketClient::open(second.port(), "/websocket/a");
}

TEST_CASE("a bad address is named by the constructor") {
    Options options = anyPort();
    options.address = "localhost:80";
    try {
        PushHub<> hub(options);
        FAIL("accepted");
    } catch (const std::invalid_argument& error) {
        CHECK(std::string(error.what()).find("\"localhost:80\"") != std::string::npos);
    }
}

TEST_CASE("IPv6, and both families on ::") {
    Options options = anyPort();
    options.address = GENERATE("::1", "::");
    PushHub<> hub(options);
    hub.start();
    SocketClient six(hub.port(), "::1");
    CHECK(six.handshake("/websocket/a") == 101);
    if (options.address == "::") {
        SocketClient four(hub.port());
        CHECK(four.handshake("/websocket/b") == 101);
    }
    REQUIRE(eventually([&] { return hub.isOnline("a"); }));
    CHECK(hub.sessions("a").front()->remoteAddress().substr(0, 6) == "[::1]:");
}

#ifdef __linux__  // it reads /proc
TEST_CASE("programs that the host starts inherit no descriptor of a hub") {
    const auto inherited = [] {
        std::set<std::string> names;
        for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
            const std::string name = entry.path().filename();
            const int flags = ::fcntl(std::stoi(name), F_GETFD);
            if (flags >= 0 && (flags & FD_CLOEXEC) == 0) {
                names.insert(name);
            }
        }
        return names;
    };
    const auto before = inherited();
    Options options = anyPort();
    const bool given = GENERATE(false, true);
    int listening = -1;
    if (given) {
        listening = ::socket(AF_INET, SOCK_STREAM | closeOnExec, 0);
        REQUIRE(::listen(listening, 5) == 0);
        options.listenSocket = listening;
    }
    options.stallTimeout = 1h;  // so that clocks run, too
    PushHub<> hub(options);
    hub.start();
    auto accepted = SocketClient::open(hub.port(), "/websocket/a");
    asio::io_context context;
    asio::ip::tcp::acceptor other(context, {asio::ip::address_v4::loopback(), 0});
    SocketClient adopted(other.local_endpoint().port());
    adopted.sendBytes(handshakeRequest("/websocket/b"));
    asio::ip::tcp::socket taken = other.accept();
    const int handle = taken.release();
    ::fcntl(handle, F_SETFD, 0);
    hub.transport().adopt(handle, {});
    REQUIRE(eventually([&] { return hub.sessionCount() == 2; }));
    auto now = inherited();
    now.erase(std::to_string(other.native_handle()));
    CHECK(now == before);
    hub.stop(0ms);
    ::close(listening);
}
#endif

#ifndef _WIN32
TEST_CASE("a socket that listens already can be given") {
    const int listening = ::socket(AF_INET, SOCK_STREAM | closeOnExec, 0);
    sockaddr_in local{};
    local.sin_family = AF_INET;
    local.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::bind(listening, reinterpret_cast<sockaddr*>(&local), sizeof local) == 0);
    socklen_t size = sizeof local;
    ::getsockname(listening, reinterpret_cast<sockaddr*>(&local), &size);
    Options options = anyPort();
    options.address = "::1";  // which is not used
    options.listenSocket = listening;
    Events<std::string> log;
    PushHub<> hub(options);
    hub.onLog([&](const LogRecord& record) {
        std::string text(record.event);
        for (const LogField& field : record) {
            text.append(" ").append(field.value);
        }
        log.add(text);
    });
    const auto refused = [](PushHub<>& it, int socket) {
        try {
            it.start();
        } catch (const std::system_error& error) {
            return std::string(error.what()).find("descriptor " + std::to_string(socket)) !=
                   std::string::npos;
        }
        return false;
    };
    CHECK(refused(hub, listening));  // it does not listen yet
    REQUIRE(::listen(listening, 5) == 0);
    for (int i = 0; i < 2; ++i) {
        hub.start();
        CHECK(hub.port() == ntohs(local.sin_port));
        auto client = SocketClient::open(hub.port(), "/websocket/a");
        client.disconnect();
        hub.stop();
    }
    CHECK(log.all().front() ==
          "started 127.0.0.1 " + std::to_string(ntohs(local.sin_port)) + " /websocket/{userId}");
    ::close(listening);

    const int datagrams = ::socket(AF_INET, SOCK_DGRAM | closeOnExec, 0);
    for (const int wrong : {listening, datagrams}) {
        options.listenSocket = wrong;
        PushHub<> other(options);
        CHECK(refused(other, wrong));
    }
    ::close(datagrams);
}
#endif

TEST_CASE("a client of IPv4 has an address of IPv4 on a listener for both families") {
    Options options = anyPort();
    options.address = GENERATE("127.0.0.1", "::", "::ffff:127.0.0.1");
    INFO(options.address);
    Events<std::string> handshakes;
    Events<std::string> logged;
    PushHub<> hub(options);
    hub.onHandshake([&](const HandshakePtr& handshake) {
        handshakes.add(handshake->remoteAddress());
        if (handshake->userId() == "refused") {
            handshake->reject(403, "no");
        } else {
            handshake->accept();
        }
    });
    hub.onLog([&](const LogRecord& record) {
        for (const LogField& field : record) {
            if (field.name == "address" && record.event != "started") {
                logged.add(std::string(field.value));
            }
        }
    });
    hub.start();
    auto client = SocketClient::open(hub.port(), "/websocket/a");
    CHECK(SocketClient(hub.port()).handshake("/websocket/refused") == 403);
    REQUIRE(eventually([&] { return hub.isOnline("a"); }));
    const std::string address = hub.sessions("a").front()->remoteAddress();
    INFO(address);
    CHECK(address.substr(0, 10) == "127.0.0.1:");
    CHECK(address.find_first_not_of("0123456789", 10) == std::string::npos);
    REQUIRE(logged.waitFor(2));  // the session and the refused handshake
    for (const auto& all : {handshakes.all(), logged.all()}) {
        CHECK(all.front().substr(0, 10) == "127.0.0.1:");
        CHECK(all.back().substr(0, 10) == "127.0.0.1:");
    }
}

TEST_CASE("trusted proxies and limits per address see IPv4 on a listener for both families") {
    Options options = anyPort();
    options.address = "::";
    options.maxConnectionsPerAddress = 1;
    const bool trusted = GENERATE(true, false);
    if (trusted) {
        options.trustedProxies = {"127.0.0.0/8"};
    }
    PushHub<> hub(options);
    hub.start();
    auto four =
        SocketClient::open(hub.port(), "/websocket/a", "X-Forwarded-For: ::ffff:192.0.2.1\r\n");
    REQUIRE(eventually([&] { return hub.isOnline("a"); }));
    const std::string address = hub.sessions("a").front()->remoteAddress();
    CHECK(address.substr(0, 10) == (trusted ? "192.0.2.1" : "127.0.0.1:"));
    SocketClient another(hub.port());
    CHECK((another.nothingComes(0ms) && another.handshake("/websocket/b") == 101) == trusted);
}

TEST_CASE("an address counts as its network, unless that is everybody's") {
    const auto addressOf = [](const char* text) {
        return asio::ip::make_address_v6(text).to_bytes();
    };
    const auto limit = detail::makeRef<AddressLimit>(1U);
    const auto first = limit->enter(addressOf("2001:db8::1"));
    CHECK(first);
    CHECK_FALSE(limit->enter(addressOf("2001:db8::2")));
    CHECK(limit->enter(addressOf("2001:db8:0:1::1")));
    const auto four = limit->enter(addressOf("::ffff:192.0.2.1"));
    CHECK(four);
    CHECK_FALSE(limit->enter(addressOf("::ffff:192.0.2.1")));
    CHECK(limit->enter(addressOf("::ffff:192.0.2.2")));
    const auto local = limit->enter(addressOf("fe80::1"));
    CHECK(local);
    CHECK_FALSE(limit->enter(addressOf("fe80::1")));
    CHECK(limit->enter(addressOf("fe80::2")));
}

TEST_CASE("a hundred starts and stops on one port") {
    std::uint16_t port = 0;
    std::atomic<int> opened{0};
    std::atomic<int> closed{0};
    for (int i = 0; i < 100; ++i) {
        Options options = anyPort();
        options.port = port;
        PushHub<> hub(options);
        hub.onOpen([&](SessionPtr) { ++opened; });
        hub.onClose([&](SessionPtr, CloseInfo) { ++closed; });
        hub.start();
        port = hub.port();
        auto client = SocketClient::open(port, "/websocket/a");
        REQUIRE(eventually([&] { return hub.sessionCount() == 1; }));
        hub.sendAll("x");
        CHECK(client.readText() == "x");
        client.disconnect();
        hub.stop();
        hub.stop();
    }
    CHECK(opened == 100);
    CHECK(closed == 100);
}

TEST_CASE("one hub starts and stops again and again") {
    PushHub<> hub(anyPort());
    for (int i = 0; i < 20; ++i) {
        hub.start();
        auto client = SocketClient::open(hub.port(), "/websocket/a");
        std::thread stopper([&] { hub.stop(); });
        CHECK(client.readClose() == CloseCode::goingAway);
        client.sendClose(CloseCode::goingAway);
        stopper.join();
    }
}

TEST_CASE("stop cuts clients that do not answer, at the deadline") {
    std::atomic<int> closed{0};
    PushHub<> hub(anyPort());
    hub.onClose([&](SessionPtr, CloseInfo info) {
        closed += !info.clean && info.error == Errc::deadlineReached ? 1 : 100;
    });
    hub.start();
    auto one = SocketClient::open(hub.port(), "/websocket/a");
    auto two = SocketClient::open(hub.port(), "/websocket/b");
    SocketClient silent(hub.port());  // has not even asked
    REQUIRE(eventually([&] { return hub.sessionCount() == 2; }));
    hub.stop(50ms);
    CHECK(closed == 2);
    CHECK(one.readClose() == CloseCode::goingAway);
    CHECK_FALSE(silent.read());
}

TEST_CASE("stop may wait for ever, and ends with the last session") {
    const auto stopWith = [](auto deadline) {
        Events<CloseInfo> closed;
        PushHub<> hub(anyPort());
        hub.onClose([&](SessionPtr, CloseInfo info) { closed.add(std::move(info)); });
        hub.start();
        auto client = SocketClient::open(hub.port(), "/websocket/a");
        std::thread stopping([&] { hub.stop(deadline); });
        CHECK(client.readClose() == CloseCode::goingAway);
        CHECK(closed.size() == 0);
        client.sendClose(CloseCode::goingAway);
        stopping.join();
        REQUIRE(closed.waitFor(1));
        CHECK(closed.all()[0].clean);
    };
    stopWith(std::chrono::milliseconds::max());
    stopWith(std::chrono::milliseconds::max() - 1ms);
    stopWith(std::chrono::hours::max());
    stopWith(std::chrono::hours(24 * 365 * 290));
}

TEST_CASE("stop does not wait if it has no time") {
    using std::chrono::milliseconds;
    for (const auto deadline : {milliseconds(0), milliseconds(-1), milliseconds::min()}) {
        Events<CloseInfo> closed;
        PushHub<> hub(anyPort());
        hub.onClose([&](SessionPtr, CloseInfo info) { closed.add(std::move(info)); });
        hub.start();
        auto client = SocketClient::open(hub.port(), "/websocket/a");
        hub.stop(deadline);
        REQUIRE(closed.waitFor(1));
        CHECK(closed.all()[0].error == Errc::deadlineReached);
    }
}

TEST_CASE("an idle session does not wake its loop") {
    asio::io_context context;
    PushHub<> hub(anyPort(), context);
    hub.start();
    std::optional<SocketClient> client;
    std::thread connecting([&] { client.emplace(SocketClient::open(hub.port(), "/websocket/a")); });
    while (hub.sessionCount() == 0 && context.run_one_for(20s) > 0) {
    }
    connecting.join();
    int wakeUps = 0;
    while (wakeUps < 20 && context.run_one_for(500ms) > 0) {
        ++wakeUps;
    }
    CHECK(wakeUps < 20);
}

TEST_CASE("the system tells how much of what was sent has not arrived") {
    asio::io_context context;
    asio::ip::tcp::acceptor acceptor(context, {asio::ip::address_v4::loopback(), 0});
    asio::ip::tcp::socket client(context);
    client.connect(acceptor.local_endpoint());
    asio::ip::tcp::socket server = acceptor.accept();
    const auto left = [&] { return detail::unacknowledged(server.native_handle()); };
    if (!left()) {
        SUCCEED("not on this system");
        return;
    }
    CHECK(*left() == 0);
    server.non_blocking(true);
    const std::string block(64 * 1024, 'x');
    asio::error_code error;
    std::size_t sent = 0;
    while (!error) {
        sent += server.write_some(asio::buffer(block), error);
    }
    REQUIRE(eventually([&] { return *left() > 0; }));
    CHECK(*left() < sent);
    std::string received(sent, 0);
    asio::read(client, asio::buffer(received));
    CHECK(eventually([&] { return *left() == 0; }));
}

TEST_CASE("run blocks until a hook stops the hub") {
    PushHub<> hub(anyPort());
    hub.onMessage([&](SessionPtr, std::string_view) { hub.stop(); });
    std::thread running([&] { hub.run(); });
    REQUIRE(eventually([&] { return hub.isRunning(); }));
    auto client = SocketClient::open(hub.port(), "/websocket/a");
    client.sendText("stop");
    CHECK(client.readClose() == CloseCode::goingAway);
    client.sendClose(CloseCode::goingAway);
    running.join();
    CHECK_FALSE(hub.isRunning());
}

TEST_CASE("a hub in the host's io_context") {
    asio::io_context context;
    std::set<std::thread::id> runners;
    std::mutex mutex;
    std::atomic<int> inHook{0};
    std::atomic<bool> overlapped{false};
    Events<std::string> got;
    PushHub<> hub(anyPort(), context);
    hub.onMessage([&](SessionPtr session, std::string_view text) {
        overlapped = overlapped || ++inHook > 1;
        got.add(std::string(text));
        session->send(text);
        {
            const std::lock_guard<std::mutex> lock(mutex);
            runners.insert(std::this_thread::get_id());
        }
        --inHook;
    });
    hub.start();

    SECTION("that several threads run") {
        auto work = asio::make_work_guard(context);
        std::vector<std::thread> threads;
        for (int i = 0; i < 3; ++i) {
            threads.emplace_back([&] { context.run(); });
        }
        std::vector<SocketClient> clients;
        for (int i = 0; i < 4; ++i) {
            clients.push_back(SocketClient::open(hub.port(), "/websocket/a"));
        }
        for (int i = 0; i < 50; ++i) {
            for (SocketClient& client : clients) {
                client.sendText("hi");
            }
        }
        for (SocketClient& client : clients) {
            for (int i = 0; i < 50; ++i) {
                CHECK(client.readText() == "hi");
            }
        }
        CHECK(got.size() == 200);
        CHECK_FALSE(overlapped);
        for (const std::thread::id& runner : runners) {
            CHECK(runner != std::this_thread::get_id());
        }
        SECTION("stopped while they run") {
            for (SocketClient& client : clients) {
                client.disconnect();
            }
            hub.stop();
        }
        work.reset();
        context.stop();
        for (std::thread& thread : threads) {
            thread.join();
        }
    }
    SECTION("that this thread runs, and that has stopped when the hub goes") {
        std::thread client([&] {
            auto socket = SocketClient::open(hub.port(), "/websocket/a");
            socket.sendText("hi");
            CHECK_NOTHROW(socket.readText());
            context.stop();
        });
        context.run();
        client.join();
        CHECK(got.all() == std::vector<std::string>{"hi"});
    }
    SECTION("that nobody ever runs") {
        hub.stop(50ms);
    }
    SECTION("stopped in a handler of the only thread that runs it") {
        asio::post(context, [&] { hub.stop(50ms); });
        asio::post(context, [&] { context.stop(); });
        context.run();
        hub.stop();
        CHECK_FALSE(hub.isRunning());
    }
    SECTION("destroyed in a handler of the only thread that runs it") {
        auto other = std::make_unique<PushHub<>>(anyPort(), context);
        other->start();
        bool destroyed = false;
        asio::post(context, [&] {
            other.reset();
            destroyed = true;
            context.stop();
        });
        context.run();
        CHECK(destroyed);
    }
}

TEST_CASE("sessions are dealt out to all loops, and work after their hub has gone") {
    std::vector<SessionPtr> kept;
    std::vector<SocketClient> clients;
    {
        std::mutex mutex;
        std::set<std::thread::id> loops;
        PushHub<> hub(anyPort());
        hub.onOpen([&](SessionPtr session) {
            const std::lock_guard<std::mutex> lock(mutex);
            kept.push_back(session);
            loops.insert(std::this_thread::get_id());
        });
        hub.start();
        for (int i = 0; i < 10; ++i) {
            clients.push_back(SocketClient::open(hub.port(), "/websocket/" + std::to_string(i)));
        }
        REQUIRE(eventually([&] { return hub.sessionCount() == 10; }));
        CHECK(loops.size() == 2);
        hub.sendAll("x");
        for (SocketClient& client : clients) {
            CHECK(client.readText() == "x");
            client.disconnect();
        }
    }
    for (const SessionPtr& session : kept) {
        CHECK(session->send("too late").closing == 1);
        session->close();
        CHECK_FALSE(session->userId().empty());
        CHECK_FALSE(session->remoteAddress().empty());
    }
}

#if defined(__linux__)
TEST_CASE("by default there are as many loops as processors that the process may use") {
    ::cpu_set_t before;
    REQUIRE(::sched_getaffinity(0, sizeof before, &before) == 0);
    ::cpu_set_t one;
    CPU_ZERO(&one);
    for (std::size_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
        if (CPU_ISSET(cpu, &before)) {
            CPU_SET(cpu, &one);
            break;
        }
    }
    std::mutex mutex;
    std::set<std::thread::id> loops;
    Options options = anyPort();
    options.loops = 0;
    PushHub<> hub(options);
    hub.onOpen([&](const SessionPtr&) {
        const std::lock_guard<std::mutex> lock(mutex);
        loops.insert(std::this_thread::get_id());
    });
    REQUIRE(::sched_setaffinity(0, sizeof one, &one) == 0);
    hub.start();
    REQUIRE(::sched_setaffinity(0, sizeof before, &before) == 0);
    std::vector<SocketClient> clients;
    for (int i = 0; i < 4; ++i) {
        clients.push_back(SocketClient::open(hub.port(), "/websocket/" + std::to_string(i)));
    }
    REQUIRE(eventually([&] { return hub.sessionCount() == 4; }));
    hub.stop();
    CHECK(loops.size() == 1);
}
#endif

TEST_CASE("a client that does not read is closed at its limit, the others get everything") {
    Events<CloseInfo> ends;
    Options options = anyPort();
    options.maxQueueBytes = 256 * 1024;
    options.closeTimeout = 200ms;
    PushHub<> hub(options);
    hub.onClose([&](SessionPtr, CloseInfo info) { ends.add(info); });
    hub.start();
    auto slow = SocketClient::open(hub.port(), "/websocket/slow");
    auto good = SocketClient::open(hub.port(), "/websocket/good");
    REQUIRE(eventually([&] { return hub.sessionCount() == 2; }));
    const std::string text(16 * 1024, 'x');
    int sent = 0;
    while (ends.size() == 0 && sent < 10000) {
        hub.sendAll(text);
        ++sent;
        REQUIRE(good.readText().size() == text.size());
    }
    REQUIRE(ends.waitFor(1));
    const CloseInfo end = ends.all().front();
    CHECK(end.code == CloseCode::tryAgainLater);
    CHECK(end.by == ClosedBy::hub);
    CHECK(end.error == Errc::queueBytesFull);
    CHECK(end.undeliveredMessages > 0);
    CHECK(hub.isOnline("good"));
    CHECK(hub.stats().droppedMessages == 1);
}

TEST_CASE("a socket that another server has accepted can be handed over") {
    Events<std::string> messages;
    PushHub<> hub(anyPort());
    hub.onMessage([&](SessionPtr, std::string_view text) { messages.add(std::string(text)); });
    asio::io_context context;
    asio::ip::tcp::acceptor other(context, {asio::ip::address_v4::loopback(), 0});
    const auto accept = [&](const std::string& expected) {
        const Descriptor socket = ::accept(other.native_handle(), nullptr, nullptr);
        std::string received(expected.size(), '\0');
        ::recv(socket, received.data(), static_cast<BufferSize>(received.size()), MSG_WAITALL);
        CHECK(received == expected);
        return socket;
    };
    const std::string request = handshakeRequest("/websocket/a");
    const std::uint16_t port = other.local_endpoint().port();

    SocketClient early(port);
    early.sendBytes(request);
    hub.transport().adopt(accept(request), request);
    CHECK(early.waitForEnd());  // the hub is not started

    hub.start();
    SocketClient client(port);
    const std::string more = request + clientFrame(protocol::Opcode::text, "in one piece");
    client.sendBytes(more);
    hub.transport().adopt(accept(more), more);
    CHECK(client.readStatus() == 101);
    client.sendText("and on");
    REQUIRE(messages.waitFor(2));
    CHECK(messages.all() == std::vector<std::string>{"in one piece", "and on"});
    hub.sendOne("a", "pushed");
    CHECK(client.readText() == "pushed");
    hub.transport().adopt(-1, "");  // is closed, whatever it is
    hub.stop();
    CHECK(client.readClose() == CloseCode::goingAway);
}

TEST_CASE("a hub that has started is there for clients that connect afterwards") {
    asio::io_context context;
    Options options = anyPort();
    options.path = "/orders/{userId}";
    PushHub<> orders(options, context);
    options.path = "/prices/{userId}";
    PushHub<> prices(orders, options);
    std::optional<SocketClient> next;
    Events<int> asked;
    orders.onHttp([&](const HttpRequest&) -> std::optional<HttpResponse> {
        prices.start();
        // Here before the loop has anything else to do: it accepts one client after the other.
        next.emplace(orders.port()).sendBytes(handshakeRequest("/prices/a"));
        asked.add(1);
        return std::nullopt;
    });
    orders.start();
    SocketClient first(orders.port());
    first.sendBytes("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    std::thread runner([&] { context.run(); });
    CHECK(first.readStatus() == 404);
    REQUIRE(asked.waitFor(1));
    CHECK(next->readStatus() == 101);
    context.stop();
    runner.join();
}

TEST_CASE("between handshakes that take long others have their turn") {
    asio::io_context context;
    std::vector<std::string> order;
    PushHub<> hub(anyPort(), context);
    hub.onHandshake([&](const HandshakePtr& handshake) {
        order.emplace_back("handshake");
        asio::post(context, [&] { order.emplace_back("other"); });
        const auto end = Clock::now() + EventLoop::slice;
        while (Clock::now() < end) {
        }
        handshake->accept();
    });
    hub.start();
    std::vector<SocketClient> clients;
    for (int i = 0; i < 2; ++i) {
        clients.emplace_back(hub.port()).sendBytes(handshakeRequest("/websocket/a"));
    }
    std::thread runner([&] { context.run(); });
    for (SocketClient& client : clients) {
        CHECK(client.readStatus() == 101);
    }
    asio::post(context, [&] { context.stop(); });
    runner.join();
    CHECK(order == std::vector<std::string>{"handshake", "other", "handshake", "other"});
}

TEST_CASE("connections of one address and of all are limited") {
    for (const bool perAddress : {false, true}) {
        Options options = anyPort();
        options.address = "::";
        (perAddress ? options.maxConnectionsPerAddress : options.maxConnections) = 3;
        PushHub<> hub(options);
        Events<std::string> refusals;
        hub.onLog([&](const LogRecord& record) {
            if (record.event == "handshake refused") {
                refusals.add(std::string(record.begin()[0].value) + " " +
                             std::string(record.begin()[1].value));
            }
        });
        hub.start();
        std::vector<SocketClient> clients;
        for (int i = 0; i < 3; ++i) {
            clients.push_back(SocketClient::open(hub.port(), "/websocket/a"));
        }
        SocketClient fourth(hub.port());
        CHECK(fourth.waitForEnd());
        REQUIRE(refusals.waitFor(1));
        CHECK_THAT(refusals.all().front(),
                   Catch::StartsWith(perAddress ? "maxConnectionsPerAddress is reached 127.0.0.1:"
                                                : "maxConnections is reached 127.0.0.1:"));
        CHECK(hub.stats().refusals[0] >= 1);
        if (perAddress) {  // another address is not concerned
            CHECK(SocketClient(hub.port(), "::1").handshake("/websocket/a") == 101);
        }
        clients.pop_back();
        CHECK(eventually([&] {
            try {
                return SocketClient(hub.port()).handshake("/websocket/a") == 101;
            } catch (const std::system_error&) {
                return false;  // still refused
            }
        }));
    }
}

TEST_CASE("trusted proxies may have more connections than an address may") {
    Options options = anyPort();
    options.maxConnectionsPerAddress = 1;
    options.trustedProxies = {"127.0.0.0/8"};
    PushHub<> hub(options);
    hub.start();
    auto first = SocketClient::open(hub.port(), "/websocket/a");
    auto second = SocketClient::open(hub.port(), "/websocket/a");
}

namespace {

// 192.0.2.1:51234, over IPv4.
const std::string proxyAddresses("\xc0\x00\x02\x01\x7f\x00\x00\x01\xc8\x22\x01\xbb", 12);

Options behindProxy() {
    Options options = anyPort();
    options.proxyProtocol = true;
    options.trustedProxies = {"127.0.0.0/8"};
    return options;
}

// The address of a session that is opened with these bytes before its request.
std::string addressBehind(PushHub<>& hub, const std::string& header, bool inPieces) {
    SocketClient client(hub.port());
    const std::string all =
        header + handshakeRequest("/websocket/a", "X-Forwarded-For: 198.51.100.1\r\n");
    for (std::size_t i = 0; inPieces && i < header.size() + 1; ++i) {
        client.sendBytes(all.substr(i, 1));
    }
    client.sendBytes(all.substr(inPieces ? header.size() + 1 : 0));
    CHECK(client.readStatus() == 101);
    REQUIRE(eventually([&] { return hub.sessionCount() == 1; }));
    const std::string address = hub.sessions("a").front()->remoteAddress();
    client.disconnect();
    REQUIRE(eventually([&] { return hub.sessionCount() == 0; }));
    return address;
}

}  // namespace

TEST_CASE("a trusted proxy names the client by the PROXY protocol") {
    PushHub<> hub(behindProxy());
    hub.start();
    const bool inPieces = GENERATE(false, true);
    const std::string local("127.0.0.1:");
    CHECK(addressBehind(hub, "PROXY TCP4 192.0.2.1 127.0.0.1 51234 443\r\n", inPieces) ==
          "192.0.2.1:51234");
    CHECK(addressBehind(hub, "PROXY TCP6 2001:db8::1 ::1 51234 443\r\n", inPieces) ==
          "[2001:db8::1]:51234");
    CHECK(addressBehind(hub, "PROXY TCP6 ::ffff:192.0.2.1 ::1 51234 443\r\n", inPieces) ==
          "192.0.2.1:51234");
    CHECK(addressBehind(hub, proxyV2(0x21, 0x11, proxyAddresses), inPieces) == "192.0.2.1:51234");
    // A client that is a trusted proxy itself is asked for whom it speaks.
    CHECK(addressBehind(hub, "PROXY TCP4 127.0.0.9 127.0.0.1 51234 443\r\n", inPieces) ==
          "198.51.100.1");
    CHECK(addressBehind(hub, "PROXY UNKNOWN\r\n", inPieces) == "198.51.100.1");
    CHECK(addressBehind(hub, proxyV2(0x20, 0, ""), inPieces) == "198.51.100.1");
}

TEST_CASE("a proxy that sends no PROXY header is closed, and logged") {
    Events<std::string> logged;
    PushHub<> hub(behindProxy());
    hub.onLog([&](const LogRecord& record) {
        if (record.event == "PROXY header refused") {
            std::string line(toString(record.level));
            for (const LogField& field : record) {
                line.append(" ").append(field.name).append("=").append(field.value);
            }
            logged.add(line);
        }
    });
    hub.start();
    { SocketClient silent(hub.port()); }  // as health checks do
    std::size_t count = 0;
    for (const std::string& bytes :
         {handshakeRequest("/websocket/a"),
          "PROXY TCP4 192.0.2.1 127.0.0.1 51234 99999\r\n" + handshakeRequest("/websocket/a"),
          proxyV2(0x21, 0x11, "") + handshakeRequest("/websocket/a"), std::string("x"),
          std::string(5000, '\r')}) {
        SocketClient client(hub.port());
        client.sendBytes(bytes);
        CHECK(client.waitForEnd());
        CHECK(client.takeBytes().empty());
        REQUIRE(logged.waitFor(++count));
        const std::string line = logged.all().back();
        INFO(line);
        CHECK(line.substr(0, 12) == "info reason=");
        CHECK(line.find(" address=127.0.0.1:") != std::string::npos);
    }
    CHECK(logged.size() == count);
}

TEST_CASE("a PROXY header is not believed from other addresses, or without the option") {
    Options options = behindProxy();
    if (GENERATE(false, true)) {
        options.proxyProtocol = false;
    } else {
        options.trustedProxies = {"192.0.2.0/24"};
    }
    PushHub<> hub(options);
    hub.start();
    SocketClient direct(hub.port());
    CHECK(direct.handshake("/websocket/a") == 101);
    SocketClient client(hub.port());
    client.sendBytes("PROXY TCP4 192.0.2.1 127.0.0.1 51234 443\r\n");
    client.sendBytes(handshakeRequest("/websocket/a"));
    CHECK(client.readStatus() == 400);
    client = SocketClient(hub.port());
    client.sendBytes(proxyV2(0x21, 0x11, proxyAddresses));
    client.sendBytes(handshakeRequest("/websocket/a"));
    CHECK(client.readStatus() != 101);
}

TEST_CASE("limits per address count the client that the PROXY protocol names") {
    Options options = behindProxy();
    options.maxConnectionsPerAddress = 1;
    PushHub<> hub(options);
    hub.start();
    const auto connect = [&](const std::string& address) {
        SocketClient client(hub.port());
        client.sendBytes("PROXY TCP4 " + address + " 127.0.0.1 51234 443\r\n" +
                         handshakeRequest("/websocket/a"));
        return client;
    };
    SocketClient first = connect("192.0.2.1");
    CHECK(first.readStatus() == 101);
    CHECK(connect("192.0.2.1").waitForEnd());
    SocketClient other = connect("192.0.2.2");
    CHECK(other.readStatus() == 101);
    SocketClient trusted = connect("127.0.0.9");
    CHECK(trusted.readStatus() == 101);
    CHECK(connect("127.0.0.9").readStatus() == 101);
    first.disconnect();
    CHECK(eventually([&] { return connect("192.0.2.1").readStatus() == 101; }));
}

TEST_CASE("the time for a handshake includes the PROXY header") {
    Options options = behindProxy();
    options.handshakeTimeout = 200ms;
    PushHub<> hub(options);
    Events<std::string> refusals;
    hub.onLog([&](const LogRecord& record) {
        if (record.fieldCount > 0 && record.event.find("refused") != std::string_view::npos) {
            refusals.add(std::string(record.event) + " " + std::string(record.fields[0].value));
        }
    });
    hub.start();
    SocketClient silent(hub.port());
    SocketClient half(hub.port());
    half.sendBytes("PROXY TCP4 192.0.2.1");
    SocketClient behind(hub.port());
    behind.sendBytes("PROXY TCP4 192.0.2.1 127.0.0.1 51234 443\r\n");
    CHECK(silent.waitForEnd());
    CHECK(silent.takeBytes().empty());
    CHECK(half.waitForEnd());
    CHECK(half.takeBytes().empty());
    CHECK(behind.readStatus() == 408);
    REQUIRE(refusals.waitFor(2));
    std::vector<std::string> lines = refusals.all();
    std::sort(lines.begin(), lines.end());
    CHECK(lines[0] == "PROXY header refused it is not complete");
    CHECK(lines[1] == "handshake refused 408");
    { SocketClient(hub.port()).sendBytes(proxyV2(0x21, 0x11, proxyAddresses).substr(0, 20)); }
    REQUIRE(refusals.waitFor(3));
    CHECK(refusals.all()[2] == lines[0]);
    CHECK(hub.sessionCount() == 0);
}

TEST_CASE("connections beyond those of a second wait, and none is lost") {
    Options options = anyPort();
    options.maxConnectionsPerSecond = 20;
    PushHub<> hub(options);
    hub.start();
    const auto start = Clock::now();
    std::vector<SocketClient> clients;
    for (int i = 0; i < 30; ++i) {
        clients.push_back(SocketClient::open(hub.port(), "/websocket/a"));
    }
    // Twenty at once, the others at 20 per second; how much longer it takes depends on the machine.
    CHECK(Clock::now() - start >= 450ms);
    CHECK(hub.sessionCount() == 30);
}

#ifndef _WIN32
TEST_CASE("running out of descriptors is survived without spinning") {
    rlimit before{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
    Events<std::string> errors;
    PushHub<> hub(anyPort());
    hub.onError(
        [&](SessionPtr, std::error_code, std::string_view what) { errors.add(std::string(what)); });
    hub.start();
    auto early = SocketClient::open(hub.port(), "/websocket/early");
    REQUIRE(eventually([&] { return hub.sessionCount() == 1; }));

    // Take every descriptor but one, which the client takes: the server finds none to accept with.
    const int next = ::dup(0);
    REQUIRE(next > 0);
    rlimit low = before;
    low.rlim_cur = static_cast<rlim_t>(next) + 20;
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &low) == 0);
    hub.sendAll("before");
    CHECK(early.readText() == "before");
    std::vector<int> fill{next};
    for (int fd = ::dup(0); fd >= 0; fd = ::dup(0)) {
        fill.push_back(fd);
    }
    ::close(fill.back());
    fill.pop_back();
    // No assertions until there are descriptors again: sanitizers need some for their checks.
    SocketClient late(hub.port());
    const bool told = errors.waitFor(1);
    hub.sendAll("still served");
    const std::string served = early.readText();
    for (const int fd : fill) {
        ::close(fd);
    }
    ::setrlimit(RLIMIT_NOFILE, &before);
    CHECK(told);
    CHECK(served == "still served");
    CHECK(late.handshake("/websocket/late") == 101);
    REQUIRE(errors.size() == 1);
    CHECK(errors.all().front().find("cannot accept") != std::string::npos);
}
#endif
