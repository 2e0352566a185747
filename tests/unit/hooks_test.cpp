// What may be a hook, and what a hook is given.

#include <algorithm>
#include <array>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <pushhub/auth/auth.hpp>
#include <pushhub/detail/shared_function.hpp>
#include <pushhub/detail/unique_function.hpp>
#include <pushhub/push_hub.hpp>
#include <pushhub/transport/loopback_transport.hpp>
#include "support/catch.hpp"

using namespace pushhub;
using detail::SharedFunction;
using detail::UniqueFunction;
using Hub = PushHub<LoopbackTransport>;
using Texts = std::vector<std::string>;

namespace {

int freeFunction(int a) {
    return a + 1;
}

// Counts its objects; large or small, and with a move that may throw or not.
template <std::size_t size, bool nothrow>
struct Counted {
    explicit Counted(int& objects) : objects_(&objects) { ++*objects_; }
    Counted(Counted&& other) noexcept(nothrow) : objects_(other.objects_), calls_(other.calls_) {
        ++*objects_;
    }
    ~Counted() { --*objects_; }
    int operator()(int a) { return a + ++calls_; }

    int* objects_;
    int calls_ = 0;
    std::array<char, size> more_{};
};

// The texts "one", "two" from a client, with a binary message between them.
struct Messages {
    Hub hub{Options()};
    Texts got;
    std::optional<CloseCode> closed;

    template <class Hook>
    explicit Messages(Hook hook) {
        hub.onMessage(std::move(hook));
    }
    Messages() = default;

    void run() {
        hub.start();
        const auto client = hub.transport().connect("/websocket/1");
        hub.transport().poll();
        REQUIRE(client->status() == 101);
        client->send("one");
        client->sendBinary("bytes");
        client->send("two");
        hub.transport().poll();
        closed = client->closeCode();
        for (const std::string& text : client->takeTexts()) {
            got.push_back(text);
        }
        hub.stop();
    }
};

template <class Hook>
void checkTextHook(Hook hook) {
    Messages messages(std::move(hook));
    messages.run();
    CHECK(messages.got == Texts{"one"});
    CHECK(messages.closed == CloseCode::unsupportedData);
}

template <class Hook>
void checkMessageHook(Hook hook) {
    Messages messages(std::move(hook));
    messages.run();
    CHECK(messages.got == Texts{"one", "bytes", "two"});
}

void echoText(const SessionPtr& session, std::string_view text) {
    session->send(text);
}
void echoMessage(SessionPtr session, Message message) {
    session->send(message.data);
}

struct Service {
    void onText(const SessionPtr& session, std::string_view text) { session->send(text); }
    void onMessage(const SessionPtr& session, const Message& message) {
        session->send(message.data);
    }
};

struct Both {
    void operator()(const SessionPtr& session, std::string_view text) { session->send(text); }
    void operator()(const SessionPtr& session, const Message& message) {
        session->send(message.data);
    }
};

}  // namespace

TEST_CASE("A function of its own is moved and destroyed as often as it is made", "[hooks]") {
    int objects = 0;
    const auto check = [&](auto callable) {
        REQUIRE(objects == 1);
        UniqueFunction<int(int)> function(std::move(callable));
        CHECK(objects == 2);
        CHECK(function(10) == 11);
        UniqueFunction<int(int)> moved(std::move(function));
        CHECK(objects == 2);
        CHECK_FALSE(function);
        CHECK(moved(10) == 12);
        UniqueFunction<int(int)> assigned(&freeFunction);
        assigned = std::move(moved);
        CHECK(objects == 2);
        CHECK(assigned(10) == 13);
        auto& same = assigned;
        assigned = std::move(same);
        CHECK(assigned(10) == 14);
        assigned = &freeFunction;
        CHECK(objects == 1);
        CHECK(assigned(10) == 11);
        assigned = nullptr;
        CHECK(assigned == nullptr);
        CHECK_FALSE(assigned != nullptr);
    };
    check(Counted<1, true>(objects));
    check(Counted<1, false>(objects));
    check(Counted<100, true>(objects));
    check(Counted<100, false>(objects));
    CHECK(objects == 0);
}

TEST_CASE("A function that is null stays null", "[hooks]") {
    using Function = UniqueFunction<int(int)>;
    int (*const pointer)(int) = nullptr;
    int (Service::*const member)(int) = nullptr;
    CHECK_FALSE(Function());
    CHECK_FALSE(Function(nullptr));
    CHECK_FALSE(Function(pointer));
    CHECK_FALSE(UniqueFunction<int(Service&, int)>(member));
    CHECK_FALSE(Function(std::function<int(int)>()));
    CHECK_FALSE(Function(std::function<short(long)>()));
    CHECK_FALSE(Function(UniqueFunction<short(long)>()));
    CHECK_FALSE(Function(SharedFunction<int(int)>()));
    CHECK_FALSE(SharedFunction<int(int)>(std::function<int(int)>()));
    CHECK_FALSE(SharedFunction<int(int)>(pointer));
    CHECK(Function(freeFunction)(1) == 2);
    CHECK(Function([](int a) { return a; })(1) == 1);
    CHECK(Function(std::function<short(long)>([](long a) { return static_cast<short>(a); }))(1) ==
          1);
}

TEST_CASE("Copies of a shared function call the same one", "[hooks]") {
    int objects = 0;
    {
        const SharedFunction<int(int)> one{Counted<1, true>(objects)};
        const SharedFunction<int(int)> two = one;
        CHECK(objects == 1);
        CHECK(one(10) == 11);
        CHECK(two(10) == 12);
    }
    CHECK(objects == 0);
}

TEST_CASE("Every hook takes what can only be moved", "[hooks]") {
    Texts events;
    const auto noting = [&](const char* what) {
        return [&events, text = std::make_unique<std::string>(what)](const auto&...) {
            events.push_back(*text);
        };
    };
    Hub hub{Options()};
    hub.onOpen(noting("open"));
    hub.onClose(noting("close"));
    hub.onError(noting("error"));
    hub.onLog(noting("log"));
    hub.onDropped(noting("dropped"));
    hub.onDrain(noting("drain"));
    hub.onHandshake([user = std::make_unique<std::string>("1")](const HandshakePtr& handshake) {
        handshake->accept();
        return *user;
    });
    hub.onFirstMessage(
        [user = std::make_unique<std::string>("1")](
            const HandshakePtr& handshake, std::string_view) { handshake->accept({*user}); });
    hub.onHttp([body = std::make_unique<std::string>("body")](const HttpRequest&) {
        return HttpResponse{200, *body};
    });
    hub.onMessage([text = std::make_unique<std::string>("message"), &events](
                      SessionPtr, std::string_view) mutable noexcept { events.push_back(*text); });
    hub.start();
    const auto client = hub.transport().connect("/websocket/1");
    hub.transport().poll();
    client->send("first");
    client->send("second");
    hub.transport().poll();
    const auto has = [&](const char* event) {
        return std::find(events.begin(), events.end(), event) != events.end();
    };
    CHECK(has("log"));
    CHECK(has("open"));
    CHECK(has("message"));
    hub.stop();
    CHECK(has("close"));
}

TEST_CASE("A hook that is null is no hook", "[hooks]") {
    void (*const pointer)(const SessionPtr&, std::string_view) = nullptr;
    Hub hub{Options()};
    hub.onHandshake(nullptr);
    hub.onHandshake({});
    hub.onHandshake(std::function<void(HandshakePtr)>());
    hub.onFirstMessage(std::function<void(HandshakePtr, std::string_view)>());
    hub.onOpen(std::function<void(SessionPtr)>());
    hub.onClose(nullptr);
    hub.onError({});
    hub.onHttp(std::function<HttpResponse(const HttpRequest&)>());
    hub.onMessage(nullptr);
    hub.onMessage({});
    hub.onMessage(pointer);
    hub.onMessage(std::function<void(SessionPtr, std::string_view)>());
    hub.onMessage(std::function<void(SessionPtr, Message)>());
    Texts errors;
    hub.onError([&](const SessionPtr&, std::error_code, std::string_view what) {
        errors.emplace_back(what);
    });
    hub.start();
    const auto client = hub.transport().connect("/websocket/1");
    hub.transport().poll();
    CHECK(client->status() == 101);
    client->send("text");
    client->sendBinary("bytes");
    hub.transport().poll();
    CHECK(client->connected());
    CHECK(errors == Texts{});
}

TEST_CASE("onMessage takes any callable", "[hooks]") {
    Service service;
    const std::string tag = "tag";
    checkTextHook([](SessionPtr session, std::string_view text) { session->send(text); });
    checkTextHook([](const SessionPtr& session, const std::string_view& text) noexcept {
        return session->send(text);
    });
    checkTextHook(&echoText);
    checkTextHook(std::function<void(SessionPtr, std::string_view)>(&echoText));
    checkTextHook([&service](auto&&... all) { service.onText(all...); });
    checkTextHook(
        std::bind(&Service::onText, &service, std::placeholders::_1, std::placeholders::_2));
    checkTextHook(
        [count = std::make_unique<int>(0)](SessionPtr session, std::string_view text) mutable {
            ++*count;
            session->send(text);
        });
    auto counting = [count = 0](const SessionPtr& session, std::string_view text) mutable {
        ++count;
        session->send(text);
    };
    checkTextHook(counting);
    checkTextHook(std::ref(counting));
    checkTextHook([&](SessionPtr session, auto text) { session->send(text); });
    checkTextHook([](auto session, auto text) { session->send(text); });
    checkTextHook([](auto&& session, auto&& text) { session->send(text.substr(0)); });
    checkTextHook([](auto session, const auto& text) -> int {
        session->send(std::string(text));
        return 1;
    });
    checkTextHook(Both());

    checkMessageHook(
        [](const SessionPtr& session, const Message& message) { session->send(message.data); });
    checkMessageHook([](auto session, Message message) { session->send(message.data); });
    checkMessageHook(&echoMessage);
    checkMessageHook(std::function<void(SessionPtr, const Message&)>(&echoMessage));
    checkMessageHook(
        std::bind(&Service::onMessage, &service, std::placeholders::_1, std::placeholders::_2));
}

TEST_CASE("The other hooks take generic lambdas and members", "[hooks]") {
    struct Desk {
        int opened = 0;
        void onOpen(const SessionPtr& session) { opened += session ? 1 : 0; }
    };
    Desk desk;
    int closed = 0;
    Hub hub{Options()};
    hub.onOpen(std::bind(&Desk::onOpen, &desk, std::placeholders::_1));
    hub.onClose([&](auto session, auto info) {
        closed += session->userId() == "1" && info.code == CloseCode::goingAway ? 1 : 0;
    });
    hub.onDrain(&Session::bufferedBytes);
    hub.onHandshake([](auto handshake) { handshake->accept(); });
    hub.start();
    const auto client = hub.transport().connect("/websocket/1");
    hub.transport().poll();
    hub.stop();
    CHECK(desk.opened == 1);
    CHECK(closed == 1);
}

TEST_CASE("Authentication takes what can only be moved", "[hooks][auth]") {
    auth::TokenSource source = [token =
                                    std::make_unique<std::string>("token")](const HttpRequest&) {
        auth::TokenSearch search;
        search.token = auth::Token{*token};
        return search;
    };
    const auth::Authenticator authenticator(
        {source, auth::queryToken("token")},
        [user = std::make_unique<std::string>("1")](const std::string&) {
            auth::Identity identity{*user};
            identity.data = std::make_unique<int>(7);
            return std::make_optional(std::move(identity));
        });
    Hub hub{Options()};
    hub.onHandshake(authenticator);
    int data = 0;
    hub.onOpen([&](const SessionPtr& session) { data = **session->data<std::unique_ptr<int>>(); });
    hub.start();
    const auto client = hub.transport().connect("/websocket/1");
    hub.transport().poll();
    CHECK(client->status() == 101);
    CHECK(data == 7);
    hub.stop();

    hub.onHandshake(nullptr);
    hub.onFirstMessage(auth::firstMessage(
        [user = std::make_unique<std::string>("2")](std::string, auth::Decision decide) {
            decide(auth::Identity{*user});
        }));
    using Check = std::function<std::optional<auth::Identity>(const std::string&)>;
    CHECK_THROWS_AS(auth::Authenticator({source}, Check()), std::invalid_argument);
    CHECK_THROWS_AS(auth::firstMessage(Check()), std::invalid_argument);
    CHECK_THROWS_AS(
        auth::Authenticator({source, nullptr},
                            [](const std::string&) { return std::optional<auth::Identity>(); }),
        std::invalid_argument);
}

TEST_CASE("An exception of a hook that has destroyed its hub is told to nobody", "[hooks]") {
    const std::string in = GENERATE("onHandshake", "onOpen", "onMessage", "onClose", "onHttp");
    CAPTURE(in);
    Hub another{Options()};
    another.start();
    Options options;
    options.path = "/hub/{userId}";
    auto hub = std::make_unique<Hub>(another, options);
    int destroyed = 0;
    int told = 0;
    const auto fail = [&](const char* hook) {
        if (in == hook) {
            hub.reset();
            ++destroyed;
            throw std::runtime_error("too late");
        }
    };
    hub->onHandshake([fail](const HandshakePtr& handshake) {
        handshake->accept();
        fail("onHandshake");
    });
    hub->onOpen([fail](const SessionPtr&) { fail("onOpen"); });
    hub->onMessage([fail](const SessionPtr&, std::string_view) { fail("onMessage"); });
    hub->onClose([fail](const SessionPtr&, const CloseInfo&) { fail("onClose"); });
    hub->onHttp([fail](const HttpRequest&) -> std::optional<HttpResponse> {
        fail("onHttp");
        return std::nullopt;
    });
    hub->onError([&](const SessionPtr&, std::error_code, std::string_view) { ++told; });
    hub->start();
    if (in == "onHttp") {
        another.transport().connectRaw()->sendBytes("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        another.transport().poll();
    } else {
        const auto client = another.transport().connect("/hub/1");
        another.transport().poll();
        client->send("text");
        another.transport().poll();
        client->close();
        another.transport().poll();
    }
    CHECK(destroyed == 1);
    CHECK(told == 0);
}
