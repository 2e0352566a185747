// The router as a hook of a hub: what clients send reaches handlers, and nothing they send ends
// their session or the loop.

#include <pushhub/json/json.hpp>
#include <pushhub/push_hub.hpp>
#include <pushhub/transport/loopback_transport.hpp>

#include <functional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "support/catch.hpp"

namespace json = pushhub::json;
using pushhub::SessionPtr;
using Hub = pushhub::PushHub<pushhub::LoopbackTransport>;
using Texts = std::vector<std::string>;

namespace {

struct HubError {
    SessionPtr session;
    std::error_code code;
    std::string what;
};

// Answers "add" with the business message that holds it.
json::Router answeringRouter() {
    json::Router router;
    router.on("add", [](const SessionPtr& session, const rapidjson::Value& object) {
        session->send(json::Message("added", object).msgId("1").str());
    });
    return router;
}

const std::string answer = R"({"cmd":"added","msgId":"1","msgTxt":{"msg":"hi","type":"add"}})";

}  // namespace

TEST_CASE("without an error handler, a bad message reaches the hub's onError") {
    Hub hub(pushhub::Options{});
    std::vector<HubError> errors;
    hub.onMessage(answeringRouter());
    hub.onError([&](const SessionPtr& session, std::error_code code, std::string_view what) {
        errors.push_back({session, code, std::string(what)});
    });
    hub.start();
    const auto client = hub.transport().connect("/websocket/0002");
    hub.transport().poll();

    client->send(R"({"msg" "hi"})");
    client->send(std::string(100, '['));
    client->send("[]");
    client->send(R"({"msg":"hi"})");
    client->send(R"({"type":"other"})");
    client->send(R"({"msg":"hi","type":"add"})");
    hub.transport().poll();

    CHECK(client->takeTexts() == Texts{answer});
    CHECK(hub.sessionCount() == 1);
    REQUIRE(errors.size() == 5);
    CHECK(errors[0].code == json::Errc::malformed);
    CHECK(errors[0].what.find("at byte 7: Missing a colon") != std::string::npos);
    CHECK(errors[1].code == json::Errc::tooDeep);
    CHECK(errors[1].what.find("at byte 32: ") != std::string::npos);
    CHECK(errors[2].code == json::Errc::notAnObject);
    CHECK(errors[3].code == json::Errc::missingField);
    CHECK(errors[4].code == json::Errc::unknownType);
    for (const HubError& error : errors) {
        REQUIRE(error.session);
        CHECK(error.session->userId() == "0002");
    }
}

TEST_CASE("with an error handler, a bad message goes there and not to the hub") {
    Hub hub(pushhub::Options{});
    json::Router router = answeringRouter();
    int hubErrors = 0;
    std::string refused;
    router.onError([&](const SessionPtr& session, const json::RouteError& error) {
        refused += session->userId() + " byte " + std::to_string(error.offset) + ";";
    });
    hub.onMessage(std::ref(router));
    hub.onError([&](const SessionPtr&, std::error_code, std::string_view) { ++hubErrors; });
    hub.start();
    const auto client = hub.transport().connect("/websocket/0002");
    hub.transport().poll();

    client->send(R"({"type":"add",})");
    client->send(R"({"msg":"hi","type":"add"})");
    hub.transport().poll();

    CHECK(refused == "0002 byte 14;");
    CHECK(client->takeTexts() == Texts{answer});
    CHECK(hubErrors == 0);
    CHECK(hub.sessionCount() == 1);
}
