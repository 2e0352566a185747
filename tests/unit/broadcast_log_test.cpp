#include <pushhub/transport/broadcast_log.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "support/catch.hpp"

using pushhub::BroadcastLog;
using pushhub::ExceptList;
using pushhub::Frame;
using pushhub::FramePtr;
using pushhub::SessionId;
using pushhub::detail::makeRef;
using pushhub::detail::RefPtr;
using pushhub::protocol::Opcode;

namespace {

FramePtr textFrame(const std::string& payload) {
    return Frame::make(Opcode::text, payload);
}

std::string bytesOf(const FramePtr& frame) {
    return {frame->data(), frame->size()};
}

std::string bytesOf(const BroadcastLog::Entry& entry) {
    return {entry.run.data(), entry.run.size()};
}

RefPtr<ExceptList> except(std::vector<std::uint64_t> values) {
    std::vector<SessionId> ids;
    for (const std::uint64_t value : values) {
        ids.emplace_back(value);
    }
    return makeRef<ExceptList>(std::move(ids));
}

}  // namespace

TEST_CASE("The first broadcast is not copied", "[broadcast_log]") {
    BroadcastLog log;
    CHECK(log.end() == 0);
    const FramePtr frame = textFrame("alone");
    log.append(frame, nullptr);
    REQUIRE(log.end() == 1);
    CHECK(log[0].run.frame == frame);
    CHECK(log[0].run.messages == 1);
    CHECK(bytesOf(log[0]) == bytesOf(frame));
}

TEST_CASE("Small broadcasts in a row become one block", "[broadcast_log]") {
    BroadcastLog log;
    std::string expected;
    for (int i = 0; i < 100; ++i) {
        const FramePtr frame = textFrame("message " + std::to_string(i));
        expected += bytesOf(frame);
        log.append(frame, nullptr);
    }
    REQUIRE(log.end() == 1);
    CHECK(log[0].run.messages == 100);
    CHECK(bytesOf(log[0]) == expected);
}

TEST_CASE("A row longer than a block goes on in the next one", "[broadcast_log]") {
    BroadcastLog log;
    std::string expected;
    std::size_t count = 0;
    for (; count < 200; ++count) {
        const FramePtr frame = textFrame(std::string(1000 + count, 'x'));
        expected += bytesOf(frame);
        log.append(frame, nullptr);
    }
    CHECK(log.end() >= 4);
    CHECK(log.end() <= 6);
    std::string bytes;
    std::size_t messages = 0;
    for (std::uint64_t i = 0; i < log.end(); ++i) {
        CHECK(log[i].run.size() <= 64 * 1024);
        bytes += bytesOf(log[i]);
        messages += log[i].run.messages;
    }
    CHECK(bytes == expected);
    CHECK(messages == count);
}

TEST_CASE("What is large or has exceptions stands alone", "[broadcast_log]") {
    BroadcastLog log;
    const std::size_t largest = 4 * 1024 - 4;  // with its header
    log.append(textFrame("a"), nullptr);
    log.append(textFrame(std::string(largest + 1, 'x')), nullptr);
    log.append(textFrame("b"), nullptr);
    log.append(textFrame("c"), nullptr);
    log.append(textFrame("d"), except({1}));
    log.append(textFrame("e"), except({1}));
    log.append(textFrame("f"), nullptr);
    log.append(textFrame(std::string(largest, 'x')), nullptr);
    std::vector<std::uint32_t> messages;
    for (std::uint64_t i = 0; i < log.end(); ++i) {
        messages.push_back(log[i].run.messages);
    }
    CHECK(messages == std::vector<std::uint32_t>{1, 1, 2, 1, 1, 2});
    CHECK(bytesOf(log[2]) ==
          "\x81\x01"
          "b"
          "\x81\x01"
          "c");
}

TEST_CASE("Nothing joins what a session has taken", "[broadcast_log]") {
    BroadcastLog log;
    log.append(textFrame("a"), nullptr);
    log.append(textFrame("b"), nullptr);
    log.seal();
    const BroadcastLog::Entry taken = log[0];
    log.append(textFrame("c"), nullptr);
    log.append(textFrame("d"), nullptr);
    log.append(textFrame("e"), nullptr);
    REQUIRE(log.end() == 2);
    CHECK(taken.run.messages == 2);
    CHECK(bytesOf(taken) ==
          "\x81\x01"
          "a"
          "\x81\x01"
          "b");
    CHECK(bytesOf(log[0]) == bytesOf(taken));
    CHECK(bytesOf(log[1]) ==
          "\x81\x01"
          "c"
          "\x81\x01"
          "d"
          "\x81\x01"
          "e");
    log.seal();
    log.append(textFrame("f"), nullptr);
    CHECK(log.end() == 3);
}

TEST_CASE("A session that waits keeps its block as it was", "[broadcast_log]") {
    BroadcastLog log;
    std::vector<BroadcastLog::Entry> kept;
    std::vector<std::string> expected;
    for (int round = 0; round < 50; ++round) {
        std::string bytes;
        for (int i = 0; i < 1 + round % 5; ++i) {
            const FramePtr frame = textFrame(std::to_string(round) + "." + std::to_string(i));
            bytes += bytesOf(frame);
            log.append(frame, nullptr);
        }
        log.seal();
        if (round % 3 == 0) {
            kept.push_back(log[log.end() - 1]);
            expected.push_back(bytes);
        }
        log.trim(log.end());
    }
    for (std::size_t i = 0; i < kept.size(); ++i) {
        CHECK(bytesOf(kept[i]) == expected[i]);
    }
}

TEST_CASE("A block that nobody waits for is used again", "[broadcast_log]") {
    BroadcastLog log;
    const Frame* block = nullptr;
    for (int round = 0; round < 3; ++round) {
        log.append(textFrame("a"), nullptr);
        log.append(textFrame("b"), nullptr);
        log.seal();
        const Frame* used = log[log.end() - 1].run.frame.get();
        CHECK((block == nullptr || used == block));
        CHECK(bytesOf(log[log.end() - 1]) ==
              "\x81\x01"
              "a"
              "\x81\x01"
              "b");
        block = used;
        log.trim(log.end());
    }
}

TEST_CASE("Rows that slow sessions keep share a block until it is full", "[broadcast_log]") {
    BroadcastLog log;
    std::vector<BroadcastLog::Entry> kept;
    std::vector<const Frame*> blocks;
    for (int round = 0; round < 20'000; ++round) {
        log.append(textFrame("a" + std::to_string(round)), nullptr);
        log.append(textFrame("b" + std::to_string(round)), nullptr);
        log.seal();
        kept.push_back(log[log.end() - 1]);
        const Frame* block = kept.back().run.frame.get();
        if (blocks.empty() || blocks.back() != block) {
            blocks.push_back(block);
        }
        log.trim(log.end());
    }
    std::size_t bytes = 0;
    for (int round = 0; round < 20'000; ++round) {
        const std::string expected = bytesOf(textFrame("a" + std::to_string(round))) +
                                     bytesOf(textFrame("b" + std::to_string(round)));
        bytes += expected.size();
        REQUIRE(bytesOf(kept[static_cast<std::size_t>(round)]) == expected);
    }
    CHECK(blocks.size() == bytes / (64 * 1024) + 1);
}

TEST_CASE("Positions stay when what all have taken is forgotten", "[broadcast_log]") {
    BroadcastLog log;
    for (int i = 0; i < 5; ++i) {
        log.append(textFrame(std::to_string(i)), except({1}));
    }
    log.trim(3);
    CHECK(log.end() == 5);
    CHECK(bytesOf(log[3]) ==
          "\x81\x01"
          "3");
    log.trim(2);
    CHECK(bytesOf(log[4]) ==
          "\x81\x01"
          "4");
    log.trim(5);
    CHECK(log.end() == 5);
    log.append(textFrame("5"), nullptr);
    log.append(textFrame("6"), nullptr);
    CHECK(log.end() == 6);
    CHECK(log[5].run.messages == 2);
    log.trim(6);
    log.append(textFrame("7"), nullptr);  // joins nothing: there is nothing
    CHECK(log.end() == 7);
    CHECK(log[6].run.messages == 1);
}

TEST_CASE("An entry knows whom it passes over", "[broadcast_log]") {
    BroadcastLog log;
    log.append(textFrame("a"), except({7, 3, 5, 3}));
    log.append(textFrame("b"), except({}));
    log.append(textFrame("c"), nullptr);
    for (const std::uint64_t id : {3U, 5U, 7U}) {
        CHECK(log[0].skips(SessionId(id)));
    }
    for (const std::uint64_t id : {1U, 4U, 6U, 8U}) {
        CHECK_FALSE(log[0].skips(SessionId(id)));
    }
    CHECK_FALSE(log[1].skips(SessionId(3)));
    CHECK_FALSE(log[2].skips(SessionId(3)));
}
