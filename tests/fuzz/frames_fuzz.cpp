// Feeds arbitrary bytes as a client's frames to the engine, and behind a good handshake to a whole
// connection, cut in different ways: the events must be the same. The first bytes decide the cuts.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include <pushhub/protocol/engine.hpp>
#include <pushhub/push_hub.hpp>
#include <pushhub/transport/loopback_transport.hpp>
#include "cuts.hpp"

namespace {

using namespace pushhub;
using namespace pushhub::test;
using protocol::Engine;
using protocol::EngineEvent;
using Strings = std::vector<std::string>;

constexpr std::size_t maxMessage = 4096;

Strings engineEvents(std::string_view bytes, Cuts cuts) {
    Engine engine;
    engine.setMaxMessageSize(maxMessage);
    Strings events;
    while (!bytes.empty()) {
        const std::size_t size = std::min(bytes.size(), cuts.next());
        std::vector<char> piece(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
        bytes.remove_prefix(size);
        for (std::size_t at = 0; at < size;) {
            std::size_t used = 0;
            const EngineEvent event = engine.read(piece.data() + at, size - at, used);
            require(used <= size - at);
            at += used;
            if (event == EngineEvent::needMore) {
                require(at == size);
                break;
            }
            const std::string payload(engine.payload());
            switch (event) {
                case EngineEvent::message: {
                    require(payload.size() <= maxMessage);
                    const bool text = engine.type() == MessageType::text;
                    require(!text || protocol::isValidUtf8(payload));
                    events.push_back((text ? "text " : "binary ") + payload);
                    break;
                }
                case EngineEvent::ping:
                case EngineEvent::pong:
                    require(payload.size() <= protocol::maxControlPayload);
                    events.push_back((event == EngineEvent::ping ? "ping " : "pong ") + payload);
                    break;
                case EngineEvent::close: {
                    const auto code = static_cast<std::uint16_t>(engine.closeCode());
                    require(isSendableCloseCode(code) || (code == 1005 && payload.empty()));
                    require(protocol::isValidUtf8(payload));
                    events.push_back("close " + std::to_string(code) + payload);
                    break;
                }
                default: {
                    const auto code = static_cast<unsigned>(engine.violation().closeCode);
                    require(code == 1002 || code == 1007 || code == 1009);
                    require(engine.violation().reason.size() <= protocol::maxCloseReason);
                    require(!engine.idle());
                    events.push_back("violation " + std::to_string(code));
                    engine.reset();
                    require(engine.idle());
                    return events;
                }
            }
        }
    }
    return events;
}

Strings hubEvents(std::string_view bytes, Cuts cuts, std::size_t window) {
    Options options;
    options.maxMessageSize = maxMessage;
    options.maxQueueBytes = 64 * 1024;
    PushHub<LoopbackTransport> hub(options);
    Strings events;
    std::uint64_t accepted = 0;
    hub.onOpen([&](const SessionPtr&) { events.push_back("open"); });
    hub.onMessage([&](const SessionPtr& session, const Message& message) {
        events.push_back((message.type == MessageType::text ? "text " : "binary ") +
                         std::string(message.data));
        accepted += session->send("x").accepted + hub.sendAll("y").accepted;
    });
    hub.onClose([&](const SessionPtr& session, const CloseInfo& info) {
        require(hub.sessionCount() == 0);
        require(session->send("late").closing == 1);
        require(info.deliveredMessages + info.undeliveredMessages + hub.stats().droppedMessages <=
                accepted);
        events.push_back("close " + std::to_string(static_cast<unsigned>(info.code)) + info.reason);
    });
    hub.start();
    const auto client = hub.transport().connect("/websocket/1");
    client->setReading(window > 1000, window);
    hub.transport().poll();
    while (!bytes.empty()) {
        const std::size_t size = std::min(bytes.size(), cuts.next());
        client->sendBytes(bytes.substr(0, size));
        bytes.remove_prefix(size);
        hub.transport().poll();
    }
    client->setReading(true);
    hub.transport().poll();
    require(client->status() == 101);
    hub.stop();
    require(!events.empty() && events[0] == "open");
    require(events.back().compare(0, 6, "close ") == 0);
    return events;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) {
        return 0;
    }
    const std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
    const unsigned seed = data[0];
    const Strings whole = engineEvents(bytes, Cuts(seed, 1U << 20));
    require(engineEvents(bytes, Cuts(seed, 1)) == whole);
    require(engineEvents(bytes, Cuts(seed, 9)) == whole);

    const std::size_t window = data[1] < 128 ? 64U * 1024U : data[1] % 64U;
    const Strings hub = hubEvents(bytes, Cuts(seed, 1U << 20), window);
    require(hubEvents(bytes, Cuts(seed, 5), window) == hub);
    return 0;
}
