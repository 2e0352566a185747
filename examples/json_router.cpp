// JSON messages: the member "type" of a client's message selects the handler, and answers are
// {"cmd":…,"msgId":…,"msgTxt":…}. Messages that are not JSON, too deep, or of unknown type reach
// onError.
//
//   {"type":"order","id":"17","symbol":"ABC","amount":5}
//   {"type":"cancel","id":"18","order":1}

#include <pushhub/json/json.hpp>
#include <pushhub/pushhub.hpp>

#include <atomic>
#include <cstdint>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>

namespace json = pushhub::json;

namespace {

// A member sent by a client can have any type, or be missing.
std::optional<int> positiveField(const rapidjson::Value& object, const char* name) {
    const auto found = object.FindMember(name);
    if (found == object.MemberEnd() || !found->value.IsInt() || found->value.GetInt() <= 0) {
        return std::nullopt;
    }
    return found->value.GetInt();
}

// An answer has the id of its request, if it has one.
void answer(const pushhub::SessionPtr& session, const rapidjson::Value& question,
            std::string_view cmd, const json::Fragment& text) {
    json::Message message(cmd, text);
    if (const auto id = json::stringField(question, "id")) {
        message.msgId(std::string(*id));
    }
    session->send(message.str());
}

// Several loops call handlers at the same time, so shared data is guarded: here, atomic.
std::atomic<int> orders{0};

void onOrder(const pushhub::SessionPtr& session, const rapidjson::Value& object) {
    const auto symbol = json::stringField(object, "symbol");
    const auto amount = positiveField(object, "amount");
    if (!symbol || !amount) {
        answer(session, object, "error", "an order has a symbol and an amount above 0");
        return;
    }
    const int order = ++orders;
    answer(session, object, "accepted",
           json::Object().add("order", order).add("symbol", *symbol).add("amount", *amount));
}

void onCancel(const pushhub::SessionPtr& session, const rapidjson::Value& object) {
    const auto order = positiveField(object, "order");
    if (order && *order <= orders) {
        answer(session, object, "cancelled", json::Object().add("order", *order));
    } else {
        answer(session, object, "error", "there is no such order");
    }
}

}  // namespace

int main(int argc, char** argv) {
    json::RouterOptions limits;
    limits.maxDepth = 4;
    json::Router router(limits);
    router.on("order", &onOrder).on("cancel", &onCancel);
    router.onError([](const pushhub::SessionPtr& session, const json::RouteError& error) {
        session->send(json::Message("error", error.reason).str());
    });

    pushhub::Options options;
    options.port = argc > 1 ? static_cast<std::uint16_t>(std::stoul(argv[1])) : 8081;
    pushhub::PushHub<> hub{options};
    hub.onMessage(router);
    hub.start();
    std::cout << "listening on ws://127.0.0.1:" << hub.port() << "/websocket/{userId}" << std::endl;
    hub.run();
}
