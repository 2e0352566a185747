// Compression, in four ways that the second byte picks: offers, frames of a client that may
// compress, one compressed message, and text to be compressed. The first byte decides the cuts.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <pushhub/deflate.hpp>
#include <pushhub/protocol/client_frame.hpp>
#include <pushhub/protocol/engine.hpp>
#include <pushhub/protocol/utf8.hpp>
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

const std::shared_ptr<const MessageCompression>& compression() {
    static const std::shared_ptr<const MessageCompression> made = [] {
        DeflateOptions options;
        options.minimumSize = 0;
        options.memLevel = 1;
        return permessageDeflate(options);
    }();
    return made;
}

void fuzzOffers(std::string_view offers) {
    const auto agreed = compression()->negotiate(offers);
    if (!agreed) {
        return;
    }
    require(agreed->window >= 9 && agreed->window <= 15);
    require(agreed->answer.size() < 120);
    // An answer is an offer that gets the same answer, behind whatever was declined.
    const auto again = compression()->negotiate("x; y=\"z\"," + agreed->answer);
    require(again && again->answer == agreed->answer && again->window == agreed->window);
}

Strings engineEvents(std::string_view bytes, Cuts cuts) {
    Engine engine;
    engine.setMaxMessageSize(maxMessage);
    engine.setCompression(compression().get());
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
            const std::string payload(engine.payload());
            if (event == EngineEvent::needMore) {
                require(at == size);
            } else if (event == EngineEvent::violation) {
                const auto code = static_cast<unsigned>(engine.violation().closeCode);
                require(code == 1002 || code == 1007 || code == 1009);
                // Text that is both too large and no UTF-8: which comes first depends on the cuts.
                events.push_back(code == 1002 ? "protocol" : "payload");
                engine.reset();
                require(engine.idle());
                return events;
            } else {
                require(payload.size() <= maxMessage);
                require(event != EngineEvent::message || engine.type() != MessageType::text ||
                        protocol::isValidUtf8(payload));
                events.push_back(std::to_string(static_cast<int>(event)) + payload);
            }
        }
    }
    return events;
}

// Echoes to a client that takes compressed messages.
void fuzzHub(std::string_view bytes, Cuts cuts) {
    Options options;
    options.maxMessageSize = maxMessage;
    options.maxQueueBytes = 16 * 1024;
    options.compression = compression();
    PushHub<LoopbackTransport> hub(options);
    Strings sent;
    Strings received;
    hub.onMessage([&](const SessionPtr& session, const Message& message) {
        const SendResult result = message.type == MessageType::text
                                      ? session->send(message.data)
                                      : session->sendBinary(message.data);
        if (result) {
            sent.emplace_back(message.data);
        }
    });
    hub.start();
    const auto client =
        hub.transport().connect("/websocket/1", "Sec-WebSocket-Extensions: permessage-deflate\r\n");
    hub.transport().poll();
    require(client->status() == 101);
    const auto inflater = compression()->makeInflater();
    const auto take = [&] {
        for (const LoopbackClient::Received& message : client->take()) {
            received.push_back(message.compressed ? std::string() : message.data);
            if (message.compressed) {
                inflater->reset();
                const std::string whole = message.data + std::string("\x00\x00\xff\xff", 4);
                require(inflater->inflate(whole, received.back(), maxMessage) ==
                        MessageInflater::Outcome::good);
                require(inflater->complete());
            }
        }
    };
    while (!bytes.empty()) {
        const std::size_t size = std::min(bytes.size(), cuts.next());
        client->sendBytes(bytes.substr(0, size));
        bytes.remove_prefix(size);
        hub.transport().poll();
        take();
    }
    hub.stop();
    take();
    // A client that breaks the protocol loses what waits.
    require(received.size() <= sent.size());
    require(std::equal(received.begin(), received.end(), sent.begin()));
}

void fuzzFrames(std::string_view bytes, unsigned seed) {
    const Strings whole = engineEvents(bytes, Cuts(seed, 1U << 20));
    require(engineEvents(bytes, Cuts(seed, 1)) == whole);
    require(engineEvents(bytes, Cuts(seed, 9)) == whole);
    fuzzHub(bytes, Cuts(seed, 100));
}

std::string frames(std::string_view message, Cuts cuts) {
    std::string bytes;
    bool first = true;
    do {
        const std::string_view part = message.substr(0, cuts.next());
        message.remove_prefix(part.size());
        std::string frame =
            protocol::clientFrame(first ? protocol::Opcode::binary : protocol::Opcode::continuation,
                                  part, message.empty());
        frame[0] = static_cast<char>(frame[0] | (first ? 0x40 : 0));
        bytes += frame;
        first = false;
    } while (!message.empty());
    return bytes;
}

void fuzzMessage(std::string_view message, unsigned seed) {
    const Strings whole = engineEvents(frames(message, Cuts(seed, 1U << 20)), Cuts(0, 1U << 20));
    require(whole.size() == 1);
    require(engineEvents(frames(message, Cuts(seed, 7)), Cuts(seed, 1U << 20)) == whole);
    require(engineEvents(frames(message, Cuts(seed, 30)), Cuts(seed, 5)) == whole);
}

void fuzzText(std::string_view text, unsigned seed) {
    // Longer than a small window.
    std::string payload(text);
    while (payload.size() < maxMessage / 2 && !text.empty()) {
        payload.append(text).append(1, static_cast<char>(payload.size()));
    }
    payload.resize(std::min(payload.size(), maxMessage));
    const std::string message = compression()->compress(payload, 9 + seed % 7);
    require(payload.empty() || message.size() < payload.size());
    if (!message.empty()) {
        const Strings read = engineEvents(frames(message, Cuts(seed, 50)), Cuts(seed, 1U << 20));
        require(read.size() == 1 && read[0].substr(1) == payload);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) {
        return 0;
    }
    const std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
    const unsigned seed = data[0];
    switch (data[1] % 4) {
        case 0:
            fuzzOffers(bytes);
            break;
        case 1:
            fuzzFrames(bytes, seed);
            break;
        case 2:
            fuzzMessage(bytes, seed);
            break;
        default:
            fuzzText(bytes, seed);
    }
    return 0;
}
