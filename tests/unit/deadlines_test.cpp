// Time-outs after a pause of the loop, expiry and the system's clock, times that are extreme, and
// when a loop has to wake up.

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <ratio>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <pushhub/auth/ticket_office.hpp>
#include <pushhub/detail/time.hpp>
#include <pushhub/push_hub.hpp>
#include <pushhub/transport/loopback_transport.hpp>
#include "support/catch.hpp"
#include "support/connection_archetype.hpp"
#include "support/handshake_request.hpp"
#include "support/recorded_hub.hpp"

using namespace pushhub;
using pushhub::test::handshakeRequest;
using pushhub::test::RecordedHub;
using namespace std::chrono_literals;
using std::chrono::milliseconds;
using std::chrono::system_clock;
using ClientPtr = RecordedHub::ClientPtr;
using Strings = std::vector<std::string>;

namespace {

/// All time-outs a second, pings after ten.
Options seconds() {
    Options options;
    options.handshakeTimeout = options.decisionTimeout = options.closeTimeout = 1s;
    options.stallTimeout = options.pongTimeout = 1s;
    options.pingInterval = 10s;
    return options;
}

constexpr auto unread = 1024 * 1024;  // room for what a client does not read

}  // namespace

// A pause --------------------------------------------------------------------------------------

TEST_CASE("What came during a pause counts, before a deadline does", "[pause]") {
    const milliseconds pause = GENERATE(1100ms, 3s, 1h);
    RecordedHub hub(seconds());
    auto& transport = hub.hub.transport();

    SECTION("the rest of a request") {
        hub.hub.start();
        const auto client = transport.connectRaw();
        const std::string request = handshakeRequest("/websocket/1");
        client->sendBytes(request.substr(0, 40));
        hub.poll();
        client->sendBytes(request.substr(40));
        transport.pause(pause);
        CHECK(client->status() == 101);
    }
    SECTION("a decision of another thread") {
        HandshakePtr pending;
        hub.hub.onHandshake([&](const HandshakePtr& handshake) { pending = handshake; });
        hub.hub.start();
        const auto client = hub.connect("1");
        REQUIRE(pending);
        std::thread([&] { CHECK_FALSE(pending->accept()); }).join();
        transport.pause(pause);
        CHECK(client->status() == 101);
        CHECK(hub.hub.sessionCount() == 1);
    }
    SECTION("a first message") {
        hub.hub.onFirstMessage([](const HandshakePtr& handshake, std::string_view user) {
            Acceptance acceptance;
            acceptance.userId = user;
            handshake->accept(acceptance);
        });
        hub.hub.start();
        const auto client = hub.connect("1");
        client->send("1");
        transport.pause(pause);
        CHECK(hub.hub.sessionCount() == 1);
    }
    SECTION("the answer to a close frame") {
        hub.hub.start();
        const auto client = hub.connect("1");
        client->setReading(false, unread);
        hub.opened[0]->close(CloseCode::normal, "bye");
        hub.poll();
        client->close(CloseCode::normal);
        transport.pause(pause);
        REQUIRE(hub.closes.size() == 1);
        CHECK(hub.closes[0].clean);
    }
    SECTION("the answer to a ping") {
        hub.hub.start();
        const auto client = hub.connect("1");
        client->setReading(false, unread);
        hub.advance(10s + 2 * LoopContext::tick);  // the ping has left
        client->sendFrame(protocol::Opcode::pong, "any");
        transport.pause(pause);
        CHECK(hub.closes.empty());
    }
    SECTION("room in the socket") {
        hub.hub.start();
        const auto client = hub.connect("1");
        client->setReading(false, 0);
        hub.hub.sendOne("1", "text");
        hub.poll();
        client->setReading(true);
        transport.pause(pause);
        CHECK(hub.closes.empty());
        CHECK(client->takeTexts() == Strings{"text"});
    }
    SECTION("a client that reads its last answer again") {
        hub.hub.onHttp([](const HttpRequest&) -> std::optional<HttpResponse> {
            return HttpResponse{200, std::string(5000, 'x')};
        });
        hub.hub.start();
        const auto client = transport.connectRaw();
        client->setReading(false, 10);
        client->sendBytes("GET /page HTTP/1.1\r\nHost: here\r\n\r\n");
        hub.poll();
        client->setReading(true);
        transport.pause(pause);
        CHECK(client->status() == 200);
        CHECK(client->response().size() > 5000);
    }
    SECTION("a session that was renewed") {
        hub.hub.start();
        const auto client = hub.connect("1");
        hub.opened[0]->expireAt(system_clock::now() + 500ms);
        hub.poll();
        hub.opened[0]->expireAt(system_clock::now() + 2h);
        transport.pause(pause);
        CHECK(hub.closes.empty());
    }
}

TEST_CASE("What is there counts before a deadline does, however late the loop is", "[pause]") {
    RecordedHub hub(seconds());
    auto& transport = hub.hub.transport();
    hub.hub.start();
    const auto client = hub.connect("1");
    client->setReading(false, 0);
    hub.hub.sendOne("1", "text");
    const auto connecting = transport.connectRaw();
    hub.advance(960ms);
    connecting->sendBytes(handshakeRequest("/websocket/2"));
    client->setReading(true);
    transport.pause(95ms);  // which is no pause
    CHECK(connecting->status() == 101);
    CHECK(client->takeTexts() == Strings{"text"});
    CHECK(hub.opened[0]->isOpen());
}

TEST_CASE("What begins after a pause has its full time", "[pause]") {
    RecordedHub hub(seconds());
    auto& transport = hub.hub.transport();
    hub.hub.start();
    const auto session = hub.connect("1");
    transport.pause(3s);

    SECTION("a handshake") {
        const auto client = transport.connectRaw();
        hub.advance(950ms);
        CHECK(client->status() == 0);
        hub.advance(2 * LoopContext::tick);
        CHECK(client->status() == 408);
    }
    SECTION("a close") {
        session->setReading(false, unread);
        hub.opened[0]->close(CloseCode::normal, "bye");
        hub.advance(950ms);
        CHECK(hub.closes.empty());
        hub.advance(2 * LoopContext::tick);
        REQUIRE(hub.closes.size() == 1);
        CHECK(hub.closes[0].error == Errc::closeTimeout);
    }
    SECTION("a stall") {
        session->setReading(false, 0);
        hub.hub.sendOne("1", "text");
        hub.advance(950ms);
        CHECK(hub.opened[0]->isOpen());
        hub.advance(2 * LoopContext::tick);
        CHECK_FALSE(hub.opened[0]->isOpen());
    }
    SECTION("a session") {
        hub.opened[0]->expireAt(system_clock::now() + 1s);
        hub.advance(900ms);
        CHECK(hub.opened[0]->isOpen());
        hub.advance(4 * LoopContext::tick);
        CHECK_FALSE(hub.opened[0]->isOpen());
    }
}

TEST_CASE("After a pause a client may go on for as long again, a second at most", "[pause]") {
    RecordedHub hub(seconds());
    auto& transport = hub.hub.transport();
    hub.hub.start();
    const auto client = transport.connectRaw();  // as in a TLS handshake of several round trips
    const auto session = hub.connect("1");
    hub.advance(500ms);

    SECTION("and does") {
        transport.pause(2s);
        hub.advance(900ms);
        client->sendBytes(handshakeRequest("/websocket/2"));
        hub.poll();
        CHECK(client->status() == 101);
    }
    SECTION("and does not") {
        transport.pause(2s);
        hub.advance(900ms);
        CHECK(client->status() == 0);
        hub.advance(100ms + 2 * LoopContext::tick);
        CHECK(client->status() == 408);
    }
    SECTION("a short pause") {
        transport.pause(600ms);
        CHECK(client->status() == 0);
        hub.advance(600ms + 2 * LoopContext::tick);
        CHECK(client->status() == 408);
    }
    SECTION("once, however many pauses there are") {
        for (int i = 0; i < 3; ++i) {
            transport.pause(2s);
            hub.advance(LoopContext::tick);
        }
        CHECK(client->status() == 408);
    }
    SECTION("but a session that has expired ends at once") {
        hub.opened[0]->expireAt(system_clock::now() + 1s);
        hub.poll();
        transport.pause(2s);
        CHECK(session->closeCode() == CloseCode::unauthorized);
    }
}

TEST_CASE("After a pause there is some time for the answer to a ping", "[pause][heartbeat]") {
    Options options = seconds();
    options.pongTimeout = 5s;
    RecordedHub hub(options);
    hub.hub.start();
    const auto client = hub.connect("1");
    client->setReading(false, unread);
    hub.advance(10s + 2 * LoopContext::tick);  // the ping has left
    hub.hub.transport().pause(10s);
    hub.advance(900ms);
    CHECK(hub.closes.empty());
    hub.advance(100ms + 2 * LoopContext::tick);
    REQUIRE(hub.closes.size() == 1);
    CHECK(hub.closes[0].error == Errc::pongTimeout);
}

TEST_CASE("A client that keeps to its rate is not too fast for a pause", "[pause][inbound_rate]") {
    Options options;
    options.maxInboundMessagesPerSecond = 10;
    options.maxInboundBytesPerSecond = 1000;
    options.whenInboundTooFast = RatePolicy::close;
    RecordedHub hub(options);
    hub.hub.start();
    const auto client = hub.connect("1");
    const auto send = [&](int count) {
        for (int i = 0; i < count; ++i) {
            client->send(std::string(80, 'x'));
        }
    };
    hub.advance(5s);
    send(39);
    hub.hub.transport().pause(3s);
    CHECK(hub.closes.empty());
    CHECK(hub.count("message") == 39);
    hub.advance(2s);
    send(12);
    hub.poll();
    REQUIRE(hub.closes.size() == 1);
    CHECK(hub.closes[0].error == Errc::inboundTooFast);
}

TEST_CASE("A pause shows as lag", "[pause][stats]") {
    RecordedHub hub;
    hub.hub.start();
    CHECK(hub.hub.stats().loopLag == 0us);
    hub.hub.transport().pause(3s);
    CHECK(hub.hub.stats().loopLag > 500ms);
}

TEST_CASE("Lag fades within some seconds", "[stats]") {
    const auto start = std::chrono::steady_clock::time_point(1000s);
    detail::LagMeter lag;
    CHECK(lag.at(start) == 0us);
    lag.note(8ms, start);
    lag.note(1ms, start);
    CHECK(lag.at(start) == 8ms);
    CHECK(lag.at(start + 1s) == 4ms);
    lag.note(5ms, start + 1s);
    CHECK(lag.at(start + 1s) == 5ms);
    CHECK(lag.at(start + 1min) == 0us);
    lag.note(-1us, start + 1min);
    lag.note(2h, start + 1min);
    CHECK(lag.at(start + 1min) > 1h);
}

// Slow clients that go on ------------------------------------------------------------------------

TEST_CASE("A ping behind data that arrives is no reason to cut a client", "[heartbeat]") {
    Options options = seconds();
    options.pongTimeout = 2s;
    RecordedHub hub(options);
    hub.hub.start();
    const auto client = hub.connect("1");
    client->setReading(false, unread);
    hub.advance(7s);
    hub.hub.sendOne("1", std::string(100'000, 'x'));  // all in the socket
    hub.advance(4s);                                  // and the ping behind it
    const auto readFor = [&](int seconds, std::size_t bytes) {
        for (int i = 0; i < seconds; ++i) {
            client->read(bytes);
            hub.advance(1s);
        }
    };
    readFor(20, 4000);
    CHECK(hub.closes.empty());

    SECTION("it reads to the end, and answers") {
        readFor(10, 4000);
        CHECK(client->pings() == 1);
        CHECK(hub.closes.empty());
        CHECK(hub.opened[0]->roundTripTime() > 20s);
    }
    SECTION("more is sent meanwhile") {
        for (int i = 0; i < 20; ++i) {
            hub.hub.sendOne("1", std::string(4000, 'x'));
            readFor(1, 1000);
        }
        CHECK(hub.closes.empty());
    }
    SECTION("it does not go on") {
        hub.advance(4s + 4 * LoopContext::tick);  // from the look that saw it go on
        REQUIRE(hub.closes.size() == 1);
        CHECK(hub.closes[0].error == Errc::pongTimeout);
    }
    SECTION("all before the ping is there, and no answer comes") {
        client->read(100'000 + 10 - 20 * 4000);  // with the frame's header
        hub.advance(2s);
        CHECK(hub.closes.empty());
        for (int i = 0; i < 4; ++i) {
            client->read(1);  // a part of the ping: what arrives now is no reason to wait any more
            hub.advance(1s);
        }
        REQUIRE(hub.closes.size() == 1);
        CHECK(hub.closes[0].error == Errc::pongTimeout);
    }
}

TEST_CASE("A session is not stalled while bytes arrive, room or not", "[slow_client]") {
    Options options = seconds();
    options.stallTimeout = 8s;
    RecordedHub hub(options);
    hub.hub.start();
    const auto client = hub.connect("1");
    client->setReading(false, 50'000);
    hub.hub.sendOne("1", std::string(60'000, 'x'));
    hub.poll();
    client->setReading(false, 0);  // as a socket that wants to be half empty first
    for (int i = 0; i < 40; ++i) {
        client->read(1000);
        hub.advance(1s);
    }
    CHECK(hub.opened[0]->isOpen());
    const milliseconds pause = GENERATE(0ms, 1h);
    hub.hub.transport().pause(pause);
    CHECK(hub.opened[0]->isOpen());
    hub.advance(9s);
    CHECK_FALSE(hub.opened[0]->isOpen());
    hub.advance(2s);
    REQUIRE(hub.closes.size() == 1);
    CHECK(hub.closes[0].error == Errc::stalled);
}

// Expiry -----------------------------------------------------------------------------------------

TEST_CASE("Expiry follows the system's clock", "[expiry]") {
    RecordedHub hub;
    hub.hub.start();
    const auto client = hub.connect("1");
    const auto other = hub.connect("2");
    const SessionPtr session = hub.opened[0];
    session->expireAt(system_clock::now() + 10min);
    hub.advance(5s);

    SECTION("forward") {
        hub.hub.transport().setClock(1h);
        hub.advance(2s);
        CHECK(client->closeCode() == CloseCode::unauthorized);
    }
    SECTION("forward, and not too far") {
        hub.hub.transport().setClock(5min);
        hub.advance(4min);
        CHECK(client->connected());
        hub.advance(61s);
        CHECK(client->closeCode() == CloseCode::unauthorized);
    }
    SECTION("back") {
        hub.hub.transport().setClock(-1h);
        hub.advance(11min);
        CHECK(client->connected());
        hub.advance(1h);
        CHECK(client->closeCode() == CloseCode::unauthorized);
    }
    CHECK(other->connected());
}

TEST_CASE("A session that leaves and expires does what comes first", "[expiry][stop]") {
    Options options;
    options.stopSpread = 100s;
    RecordedHub hub(options);
    hub.hub.start();
    std::vector<ClientPtr> clients;
    for (int i = 0; i < 10; ++i) {
        clients.push_back(hub.connect(std::to_string(i)));  // leaves after 10 s times `i`
    }
    hub.opened[5]->expireAt(system_clock::now() + 20s);
    hub.opened[6]->expireAt(system_clock::now() + 90s);
    hub.opened[7]->expireAt(system_clock::now() + 20s);
    hub.whenClosed = [&](const SessionPtr& session, const CloseInfo&) {
        if (session == hub.opened[0]) {
            hub.opened[7]->expireAt(system_clock::now() + 1h);  // renewed
            hub.opened[8]->expireAt(system_clock::now() + 1h);
            hub.opened[9]->expireAt(system_clock::now() + 35s);
        }
    };
    hub.poll();
    hub.hub.stop(120s);
    REQUIRE(hub.closes.size() == 10);
    const Strings expected{"0 1001", "1 1001", "5 4401", "2 1001", "3 1001",
                           "9 4401", "4 1001", "6 1001", "7 1001", "8 1001"};
    Strings closed;
    for (const std::string& event : hub.events) {
        if (event.substr(0, 6) == "close ") {
            closed.push_back(event.substr(6));
        }
    }
    // The second and the sixth are due in the same second as another one.
    std::sort(closed.begin() + 2, closed.begin() + 4);
    Strings sorted = expected;
    std::sort(sorted.begin() + 2, sorted.begin() + 4);
    CHECK(closed == sorted);
}

// Extreme times ----------------------------------------------------------------------------------

TEST_CASE("Sums of times stop at the ends", "[time]") {
    using Time = system_clock::time_point;
    using Span = Time::duration;
    const Time now = system_clock::now();
    CHECK(detail::saturatedAdd(now, milliseconds::max()) == Time::max());
    CHECK(detail::saturatedAdd(now, milliseconds::min()) == Time::min());
    CHECK(detail::saturatedAdd(now, Span::max()) == Time::max());
    CHECK(detail::saturatedAdd(Time::min(), Span::min()) == Time::min());
    CHECK(detail::saturatedAdd(Time::max(), Span::max()) == Time::max());
    CHECK(detail::saturatedAdd(Time::max(), -1s) == Time::max() - 1s);
    CHECK(detail::saturatedAdd(now, 5s) == now + 5s);
    CHECK(detail::saturatedAdd(now, std::chrono::hours::max()) == Time::max());
    CHECK(detail::saturatedDifference(Time::max(), now) == Time::max() - now);
    CHECK(detail::saturatedDifference(Time::min(), now) == Span::min());
    CHECK(detail::saturatedDifference(Time::max(), Time::min()) == Span::max());
    CHECK(detail::saturatedDifference(now, Time::min()) == Span::max());
    CHECK(detail::saturatedCast<milliseconds>(std::chrono::hours::max()) == milliseconds::max());
    CHECK(detail::saturatedCast<milliseconds>(std::chrono::hours::min()) == milliseconds::min());
    CHECK(detail::saturatedCast<milliseconds>(std::chrono::nanoseconds::min()) ==
          std::chrono::duration_cast<milliseconds>(std::chrono::nanoseconds::min()));
    CHECK(detail::saturatedCast<milliseconds>(std::chrono::duration<double>(
              std::numeric_limits<double>::infinity())) == milliseconds::max());
    CHECK(detail::saturatedCast<milliseconds>(-2h) == -2h);
    using Days = std::chrono::duration<std::int64_t, std::ratio<86'400>>;
    using Day = std::chrono::time_point<system_clock, Days>;
    CHECK(detail::saturatedTime(Day::max()) == Time::max());
    CHECK(detail::saturatedTime(Day::min()) == Time::min());
}

TEST_CASE("A session may expire at any time there is", "[time][expiry]") {
    using Time = system_clock::time_point;
    struct Row {
        Time time;
        bool ends;
    };
    const Time now = system_clock::now();
    for (const Row& row : std::vector<Row>{{Time::max(), false},
                                           {Time::max() - 1ns, false},
                                           {Time::max() - 1h, false},
                                           {now + std::chrono::hours(24 * 365 * 100), false},
                                           {now + 1h, false},
                                           {now, true},
                                           {now - 1ms, true},
                                           {Time(), true},
                                           {Time(-1ns), true},
                                           {Time::min() + 1h, true},
                                           {Time::min(), true}}) {
        INFO(row.time.time_since_epoch().count());
        // Of an open session.
        RecordedHub hub;
        hub.hub.onHandshake([&](const HandshakePtr& handshake) {
            Acceptance acceptance;
            if (handshake->userId() == "2") {
                acceptance.expires = row.time;
            }
            handshake->accept(acceptance);
        });
        hub.hub.start();
        const auto client = hub.connect("1");
        hub.opened[0]->expireAt(row.time);
        hub.advance(2 * LoopContext::tick);
        CHECK(hub.opened[0]->isOpen() != row.ends);
        // From the beginning.
        CHECK(hub.connect("2")->status() == (row.ends ? 401 : 101));
        // And it can be taken back.
        if (!row.ends) {
            hub.opened[0]->expireAt(Time::max());
            hub.advance(2h);
            CHECK(hub.opened[0]->isOpen());
            hub.opened[0]->expireAt(
                std::chrono::time_point<system_clock, std::chrono::hours>::min());
            hub.advance(2 * LoopContext::tick);
            CHECK_FALSE(hub.opened[0]->isOpen());
        }
    }
}

TEST_CASE("A stop may wait for ever, and not at all", "[time][stop]") {
    const auto stopWith = [](const std::function<void(RecordedHub::Hub&)>& stop) {
        Options options;
        options.closeTimeout = 24h;
        RecordedHub hub(options);
        hub.hub.start();
        const auto client = hub.connect("1");
        client->setReading(false, unread);
        hub.hub.sendOne("1", "text");
        stop(hub.hub);
        CHECK_FALSE(hub.hub.isRunning());
        return hub.closes.at(0).error;
    };
    const auto patient = make_error_code(Errc::closeTimeout);
    const auto impatient = make_error_code(Errc::deadlineReached);
    CHECK(stopWith([](auto& hub) { hub.stop(milliseconds::max()); }) == patient);
    CHECK(stopWith([](auto& hub) { hub.stop(milliseconds::max() - 1ms); }) == patient);
    CHECK(stopWith([](auto& hub) { hub.stop(std::chrono::hours::max()); }) == patient);
    CHECK(stopWith([](auto& hub) { hub.stop(std::chrono::hours(24 * 365 * 400)); }) == patient);
    CHECK(stopWith([](auto& hub) { hub.stop(25h); }) == patient);
    CHECK(stopWith([](auto& hub) { hub.stop(1s); }) == impatient);
    CHECK(stopWith([](auto& hub) { hub.stop(0s); }) == impatient);
    CHECK(stopWith([](auto& hub) { hub.stop(-1ms); }) == impatient);
    CHECK(stopWith([](auto& hub) { hub.stop(milliseconds::min()); }) == impatient);
    CHECK(stopWith([](auto& hub) { hub.stop(std::chrono::hours::min()); }) == impatient);
}

TEST_CASE("Options of extreme times are refused, with name and value", "[time][options]") {
    const std::vector<std::pair<const char*, milliseconds Options::*>> times{
        {"stallTimeout", &Options::stallTimeout},
        {"pingInterval", &Options::pingInterval},
        {"pongTimeout", &Options::pongTimeout},
        {"decisionTimeout", &Options::decisionTimeout},
        {"handshakeTimeout", &Options::handshakeTimeout},
        {"closeTimeout", &Options::closeTimeout},
        {"stopSpread", &Options::stopSpread}};
    for (const auto& [name, member] : times) {
        for (const milliseconds value :
             {milliseconds::max(), milliseconds::min(), -1ms, milliseconds(24h) + 1ms}) {
            Options options;
            options.*member = value;
            std::string message;
            try {
                options.validate();
            } catch (const std::invalid_argument& error) {
                message = error.what();
            }
            CHECK(message.find(std::string(name) + " is " + std::to_string(value.count()) +
                               " ms") != std::string::npos);
        }
        Options options;
        options.*member = 24h;
        CHECK_NOTHROW(options.validate());
    }
}

TEST_CASE("The longest and the shortest times that options may be", "[time][options]") {
    for (const milliseconds time : {milliseconds(1), milliseconds(24h)}) {
        Options options;
        options.stallTimeout = options.pingInterval = options.pongTimeout = time;
        options.decisionTimeout = options.handshakeTimeout = options.closeTimeout = time;
        options.maxInboundMessagesPerSecond = std::numeric_limits<std::uint32_t>::max();
        options.maxInboundBytesPerSecond = std::numeric_limits<std::uint64_t>::max();
        options.whenInboundTooFast = RatePolicy::close;
        RecordedHub hub(options);
        hub.hub.start();
        const auto client = hub.connect("1");
        for (int i = 0; i < 100; ++i) {
            client->send("text");
            hub.advance(1s);
        }
        CHECK(hub.count("message") == 100);
        CHECK(hub.closes.empty());
        CHECK((client->pings() > 50) == (time == 1ms));
    }
}

TEST_CASE("A loopback clock goes as far as it is told, within reason", "[time][loopback]") {
    RecordedHub hub;
    hub.hub.start();
    auto& transport = hub.hub.transport();
    const auto client = hub.connect("1");
    const auto start = transport.now();
    for (const milliseconds none : {0ms, -1ms, milliseconds::min()}) {
        transport.advance(none);
        transport.pause(none);
        CHECK(transport.now() == start);
    }
    transport.advance(1ms);
    CHECK(transport.now() == start + 1ms);
    transport.advance(1234ms);
    CHECK(transport.now() == start + 1235ms);
    CHECK_THROWS_AS(transport.advance(milliseconds::max()), std::invalid_argument);
    CHECK_THROWS_AS(transport.advance(std::chrono::hours::max()), std::invalid_argument);
    CHECK_THROWS_AS(transport.pause(milliseconds::max()), std::invalid_argument);
    CHECK_THROWS_AS(transport.setClock(milliseconds::max()), std::invalid_argument);
    CHECK_THROWS_AS(transport.setClock(milliseconds::min()), std::invalid_argument);
    CHECK(client->connected());
}

TEST_CASE("A ticket lives as long as it may", "[time][auth]") {
    using Clock = auth::TicketOffice::Clock;
    Clock::time_point now = Clock::now();
    auth::TicketOffice office(10, [&] { return now; });
    using std::chrono::seconds;
    for (const seconds life : {seconds::max(), seconds::min(), 0s, -1s, seconds(1h) + 1s}) {
        CHECK_THROWS_AS(office.issue("1", life), std::invalid_argument);
    }
    now = Clock::time_point::max() - 1s;
    const std::string ticket = office.issue("1", 1h);
    CHECK(office.redeem(ticket) == "1");
}

// Waking up --------------------------------------------------------------------------------------

namespace {

/// A loop whose clock the test moves, and which says when it has to run.
class ManualLoop final : public EventLoop {
public:
    explicit ManualLoop(const Options& options) : EventLoop(options, 1) {}

    bool onLoop() const noexcept override { return true; }
    TimePoint now() const noexcept override { return time; }
    TimePoint wallTime() const noexcept override { return time; }
    void start(Connection& connection) {
        countConnection();
        add(connection);
    }

    /// How often an idle loop wakes up until then.
    std::size_t wakeUps(TimePoint end) {
        std::size_t count = 0;
        for (TimePoint next; (next = nextTimers(false)) <= end; ++count) {
            time = std::max(time, next);
            runTimers();
            afterEvents();
        }
        time = end;
        return count;
    }

    using EventLoop::nextTimers;
    using EventLoop::runTimers;

    TimePoint time{1000h};

private:
    void wake() override {}
};

}  // namespace

TEST_CASE("An idle loop wakes up with its deadlines, and not in between", "[timer_wheel][loop]") {
    Options options;
    options.handshakeTimeout = 100s;
    const auto loop = detail::makeRef<ManualLoop>(options);
    CHECK(loop->nextTimers(false) == LoopContext::TimePoint::max());
    CHECK(loop->wakeUps(loop->time + 1h) == 0);
    std::vector<detail::RefPtr<test::ConnectionArchetype>> connections;
    const auto connect = [&] {
        connections.push_back(detail::makeRef<test::ConnectionArchetype>(
            detail::RefPtr<LoopContext>(loop.get()), SessionId(connections.size() + 1)));
        loop->start(*connections.back());
    };
    const auto begin = loop->time;
    connect();
    const auto due = loop->nextTimers(false);
    CHECK(due >= begin + 100s);
    CHECK(due <= begin + 100s + LoopContext::tick);
    for (int i = 0; i < 20; ++i) {
        loop->time += 1s;
        connect();
    }
    // 408 after 100 to 120 s, and two seconds to read it.
    CHECK(loop->wakeUps(begin + 1h) == 23);
    CHECK(loop->load() == 0);
}

TEST_CASE("A loop that works ticks, and shows how late it is", "[loop]") {
    const auto loop = detail::makeRef<ManualLoop>(Options());
    const auto begin = loop->time;
    CHECK(loop->nextTimers(true) > begin);
    CHECK(loop->nextTimers(true) <= begin + LoopContext::tick);
    CHECK(loop->heldUp(begin) == 0ns);
    loop->time += 3s;
    CHECK(loop->nextTimers(true) <= begin + LoopContext::tick);  // that one has passed
    CHECK(loop->heldUp(loop->time) >= 2900ms);
    loop->runTimers();
    CHECK(loop->heldUp(loop->time) >= 2900ms);
    CHECK(loop->heldUp(loop->time + 2s) == 0ns);
    CHECK(loop->nextTimers(false) == LoopContext::TimePoint::max());
}
