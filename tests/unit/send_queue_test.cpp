#include <pushhub/transport/send_queue.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"

using pushhub::Frame;
using pushhub::FramePtr;
using pushhub::FrameRun;
using pushhub::SendQueue;
using pushhub::WriteBuffer;
using pushhub::Written;
using pushhub::protocol::Opcode;

namespace {

FrameRun whole(FramePtr frame, std::uint32_t messages = 1) {
    const std::uint32_t size = frame->size();
    return {std::move(frame), 0, size, messages};
}

FrameRun textRun(const std::string& payload) {
    return whole(Frame::make(Opcode::text, payload));
}

/// What the queue is to do, in the plainest form: frames in order, the first perhaps begun.
struct Model {
    struct Item {
        std::string bytes;
        bool message;
        std::string key{};
    };

    std::deque<Item> items;
    std::size_t begun = 0;  // bytes of the first that have left

    std::string bytes() const {
        std::string all;
        for (const Item& item : items) {
            all += item.bytes;
        }
        return all.substr(std::min(begun, all.size()));
    }

    Written consume(std::size_t size) {
        Written written{size, 0};
        begun += size;
        while (!items.empty() && begun >= items.front().bytes.size()) {
            begun -= items.front().bytes.size();
            written.messages += items.front().message ? 1 : 0;
            items.pop_front();
        }
        return written;
    }

    Written dropOldest() {
        for (auto item = items.begin(); item != items.end(); ++item) {
            if (item->message && (item != items.begin() || begun == 0)) {
                const Written dropped{item->bytes.size(), 1};
                items.erase(item);
                return dropped;
            }
        }
        return {};
    }

    // Bytes of the one that was replaced, 0 if there was none.
    std::size_t replace(const Item& with) {
        for (auto item = items.begin(); item != items.end(); ++item) {
            if (item->key == with.key && (item != items.begin() || begun == 0)) {
                const std::size_t size = item->bytes.size();
                *item = with;
                return size;
            }
        }
        return 0;
    }

    // Control frames stay, and what has begun to leave.
    Written dropUnstarted() {
        Written dropped;
        std::deque<Item> kept;
        for (const Item& item : items) {
            if (!item.message || (kept.empty() && begun > 0)) {
                kept.push_back(item);
            } else {
                dropped.bytes += item.bytes.size();
                ++dropped.messages;
            }
        }
        items = std::move(kept);
        return dropped;
    }
};

std::string gathered(const SendQueue& queue, std::size_t count = 1000) {
    std::vector<WriteBuffer> buffers(count);
    const std::size_t filled = queue.gather(buffers.data(), buffers.size());
    std::string bytes;
    for (std::size_t i = 0; i < filled; ++i) {
        CHECK(buffers[i].size > 0);
        bytes.append(buffers[i].data, buffers[i].size);
    }
    return bytes;
}

}  // namespace

TEST_CASE("A new queue is empty", "[send_queue]") {
    SendQueue::Pool pool;
    SendQueue queue;
    CHECK(queue.empty());
    CHECK(gathered(queue).empty());
    CHECK(queue.dropUnstarted(pool).bytes == 0);
    CHECK(queue.empty());
}

TEST_CASE("Runs that are neighbours in one block become one buffer", "[send_queue]") {
    SendQueue::Pool pool;
    SendQueue queue;
    const FramePtr block = Frame::allocate(100);
    std::vector<FrameRun> runs;
    for (const char* payload : {"a", "bb", "ccc", ""}) {
        const std::uint32_t begin = block->size();
        block->append(Opcode::text, payload);
        runs.push_back({block, begin, block->size(), 1});
    }
    queue.push(pool, runs[0]);
    queue.push(pool, runs[1]);
    queue.push(pool, runs[3]);  // no neighbour of the second
    std::array<WriteBuffer, 8> buffers;
    CHECK(queue.gather(buffers.data(), buffers.size()) == 2);
    CHECK(buffers[0].size == 3 + 4);
    CHECK(buffers[1].size == 2);
    CHECK(queue.gather(buffers.data(), 1) == 1);
    const Written written = queue.consume(pool, 9);
    CHECK(written.bytes == 9);
    CHECK(written.messages == 3);
    CHECK(queue.empty());
    CHECK(block.get() != nullptr);
}

TEST_CASE("A queue lets go of what has left", "[send_queue]") {
    SendQueue::Pool pool;
    FramePtr frame = Frame::make(Opcode::text, "x");
    {
        SendQueue queue;
        for (int i = 0; i < 100; ++i) {
            queue.push(pool, whole(frame));
        }
        queue.consume(pool, 99 * frame->size());
        CHECK_FALSE(frame->unique());
        queue.consume(pool, frame->size());
        CHECK(frame->unique());
        queue.push(pool, whole(frame));
        queue.dropUnstarted(pool);
        CHECK(frame->unique());
        queue.push(pool, whole(frame));
    }
    CHECK(frame->unique());
}

TEST_CASE("A pong that waits may be replaced by a shorter or longer one", "[send_queue]") {
    SendQueue::Pool pool;
    SendQueue queue;
    queue.push(pool, textRun("before"));
    const FramePtr pong = Frame::allocate(127);
    pong->append(Opcode::pong, "12345678");
    queue.push(pool, whole(pong, 0));
    queue.push(pool, textRun("after"));
    CHECK_FALSE(queue.started(pong));
    pong->clear();
    pong->append(Opcode::pong, "9");
    CHECK(gathered(queue) ==
          "\x81\x06"
          "before"
          "\x8a\x01"
          "9"
          "\x81\x05"
          "after");
    pong->clear();
    pong->append(Opcode::pong, "longer than it was");
    Written written = queue.consume(pool, 8);
    CHECK(written.messages == 1);
    CHECK_FALSE(queue.started(pong));
    written = queue.consume(pool, 3);
    CHECK(written.messages == 0);
    CHECK(queue.started(pong));
    written = queue.consume(pool, 17);
    CHECK(written.messages == 0);
    CHECK_FALSE(queue.started(pong));
    CHECK(gathered(queue) ==
          "\x81\x05"
          "after");
}

TEST_CASE("Control frames stay when messages are dropped", "[send_queue]") {
    SendQueue::Pool pool;
    SendQueue queue;
    queue.push(pool, whole(Frame::raw("HTTP/1.1 101\r\n\r\n"), 0));
    queue.push(pool, textRun("a"));
    queue.push(pool, whole(Frame::make(Opcode::pong, "p"), 0));
    queue.push(pool, textRun("b"));
    const Written dropped = queue.dropUnstarted(pool);
    CHECK(dropped.bytes == 6);
    CHECK(dropped.messages == 2);
    CHECK(gathered(queue) ==
          "HTTP/1.1 101\r\n\r\n"
          "\x8a\x01"
          "p");
    CHECK(queue.consume(pool, 19).messages == 0);
    CHECK(queue.empty());
}

TEST_CASE("A queue that is cleared has nothing left", "[send_queue]") {
    SendQueue::Pool pool;
    SendQueue queue;
    const FramePtr frame = Frame::make(Opcode::text, "text");
    queue.push(pool, whole(frame));
    queue.push(pool, whole(Frame::make(Opcode::ping, ""), 0));
    queue.consume(pool, 3);
    queue.clear(pool);
    CHECK(queue.empty());
    CHECK(frame->unique());
    queue.push(pool, whole(frame));
    CHECK(gathered(queue) ==
          "\x81\x04"
          "text");
}

TEST_CASE("What is dropped stops at the end of the frame that has begun", "[send_queue]") {
    SendQueue::Pool pool;
    SendQueue queue;
    const FramePtr block = Frame::allocate(1000);
    for (const char* payload : {"first", "second", "third"}) {
        block->append(Opcode::text, payload);
    }
    queue.push(pool, whole(block, 3));
    queue.push(pool, textRun("fourth"));

    SECTION("nothing has begun") {
        const Written dropped = queue.dropUnstarted(pool);
        CHECK(dropped.bytes == 7 + 8 + 7 + 8);
        CHECK(dropped.messages == 4);
        CHECK(queue.empty());
    }
    SECTION("at the end of a frame nothing has begun either") {
        CHECK(queue.consume(pool, 7).messages == 1);
        const Written dropped = queue.dropUnstarted(pool);
        CHECK(dropped.bytes == 8 + 7 + 8);
        CHECK(dropped.messages == 3);
        CHECK(queue.empty());
    }
    SECTION("the second of a run has begun") {
        CHECK(queue.consume(pool, 10).messages == 1);
        const Written dropped = queue.dropUnstarted(pool);
        CHECK(dropped.bytes == 7 + 8);
        CHECK(dropped.messages == 2);
        CHECK(gathered(queue) == "econd");
        queue.push(pool, textRun("new"));
        CHECK(gathered(queue) ==
              "econd"
              "\x81\x03"
              "new");
        const Written written = queue.consume(pool, 10);
        CHECK(written.messages == 2);
        CHECK(queue.empty());
    }
}

TEST_CASE("Control frames are not dropped", "[send_queue]") {
    SendQueue::Pool pool;
    SendQueue queue;
    const FramePtr answer = Frame::raw("HTTP/1.1 101\r\n\r\n");
    queue.push(pool, whole(answer, 0));
    queue.push(pool, textRun("first"));
    queue.push(pool, whole(Frame::make(Opcode::pong, "p"), 0));
    queue.push(pool, textRun("second"));
    const Written dropped = queue.dropUnstarted(pool);
    CHECK(dropped.bytes == 7 + 8);
    CHECK(dropped.messages == 2);
    CHECK(gathered(queue) ==
          "HTTP/1.1 101\r\n\r\n"
          "\x8a\x01"
          "p");
}

TEST_CASE("The rest of a run that was written in part", "[send_queue]") {
    SendQueue::Pool pool;
    const FramePtr block = Frame::allocate(1000);
    std::string bytes;
    for (const char* payload : {"", "a", "second", "third"}) {
        block->append(Opcode::text, payload);
    }
    bytes.assign(block->data(), block->size());
    for (std::uint32_t written = 0; written < block->size(); ++written) {
        SendQueue queue;
        const std::uint32_t left = queue.pushRest(pool, whole(block, 4), written);
        CHECK(left == (written >= 13 ? 3U : written >= 5 ? 2U : written >= 2 ? 1U : 0U));
        CHECK(gathered(queue) == bytes.substr(written));
        CHECK(left + queue.consume(pool, block->size() - written).messages == 4);
        CHECK(queue.empty());
    }
}

TEST_CASE("The queue does what a queue of bytes does, whatever the order of calls",
          "[send_queue]") {
    std::mt19937 random(GENERATE(1U, 2U, 3U, 4U, 5U, 6U, 7U, 8U));
    const auto below = [&](std::size_t n) { return random() % n; };
    const auto payload = [&] {
        return std::string(below(12) == 0 ? below(1000) : below(130),
                           static_cast<char>('a' + below(26)));
    };
    SendQueue::Pool pool;
    SendQueue queue;
    Model model;
    std::uint64_t pushed = 0;
    std::uint64_t left = 0;
    bool same = true;
    // A block from which runs are pushed one after the other, as from a log of broadcasts.
    FramePtr block;
    std::vector<std::string> unpushed;
    std::uint32_t position = 0;

    for (int step = 0; step < 4000 && same; ++step) {
        switch (below(9)) {
            case 7:
                if (below(3) == 0) {
                    const Written expected = model.dropOldest();
                    const Written dropped = queue.dropOldest(pool);
                    same = same && dropped.bytes == expected.bytes &&
                           dropped.messages == expected.messages;
                    left += dropped.messages;
                }
                break;
            case 8: {  // one with a key
                const std::string key(1 + below(4), 'k');
                FrameRun run = whole(Frame::make(Opcode::text, payload(), key));
                const Model::Item item{std::string(run.data(), run.size()), true, key};
                const std::size_t expected = model.replace(item);
                same = same && queue.replace(run) == expected;
                ++pushed;
                if (expected > 0) {
                    ++left;
                } else {
                    model.items.push_back(item);
                    queue.push(pool, run, below(2) == 0);
                }
                break;
            }
            case 0: {  // a frame of its own
                const FrameRun run = textRun(payload());
                model.items.push_back({std::string(run.data(), run.size()), true});
                queue.push(pool, run, below(2) == 0);
                ++pushed;
                break;
            }
            case 1: {  // a control frame
                const FramePtr frame = Frame::make(Opcode::pong, payload().substr(0, 125));
                model.items.push_back({std::string(frame->data(), frame->size()), false});
                queue.push(pool, whole(frame, 0));
                break;
            }
            case 2:
            case 3: {  // a run of a shared block
                if (unpushed.empty()) {
                    block = Frame::allocate(64 * 1024);
                    position = 0;
                    for (std::size_t i = 0; i < 1 + below(30); ++i) {
                        const std::uint32_t begin = block->size();
                        block->append(Opcode::binary, payload());
                        unpushed.emplace_back(block->data() + begin, block->size() - begin);
                    }
                }
                FrameRun run{block, position, position, 0};
                for (std::size_t count = 1 + below(unpushed.size()); count > 0; --count) {
                    model.items.push_back({unpushed.front(), true});
                    run.end += static_cast<std::uint32_t>(unpushed.front().size());
                    ++run.messages;
                    ++pushed;
                    unpushed.erase(unpushed.begin());
                }
                position = run.end;
                if (model.items.size() == run.messages && below(2) == 0) {
                    // Into an empty queue, its beginning written already.
                    const std::size_t written = below(run.size());
                    const Written expected = model.consume(written);
                    const std::uint32_t gone =
                        queue.pushRest(pool, run, static_cast<std::uint32_t>(written));
                    same = same && gone == expected.messages;
                    left += gone;
                } else {
                    queue.push(pool, run, below(2) == 0);
                }
                if (below(3) == 0 && !unpushed.empty()) {  // pass over one
                    position += static_cast<std::uint32_t>(unpushed.front().size());
                    unpushed.erase(unpushed.begin());
                }
                break;
            }
            case 4:
            case 5: {  // a write, of few or of many buffers, taken in part or whole
                std::vector<WriteBuffer> buffers(1 + below(70));
                const std::size_t count = queue.gather(buffers.data(), buffers.size());
                std::string bytes;
                for (std::size_t i = 0; i < count; ++i) {
                    bytes.append(buffers[i].data, buffers[i].size);
                }
                same = same && model.bytes().compare(0, bytes.size(), bytes) == 0;
                same = same && (count > 0 || model.items.empty());
                const std::size_t taken = below(3) == 0 ? bytes.size() : below(bytes.size() + 1);
                const Written expected = model.consume(taken);
                const Written written = queue.consume(pool, taken);
                same = same && written.bytes == taken && written.messages == expected.messages;
                left += written.messages;
                break;
            }
            default:
                if (below(8) == 0) {
                    const Written expected = model.dropUnstarted();
                    const Written dropped = queue.dropUnstarted(pool);
                    same = same && dropped.bytes == expected.bytes &&
                           dropped.messages == expected.messages;
                    left += dropped.messages;
                }
                break;
        }
        same = same && queue.empty() == model.items.empty();
        if (step % 50 == 0) {
            same = same && gathered(queue, 5000) == model.bytes();
        }
    }
    CHECK(same);
    const std::string rest = gathered(queue, 5000);
    CHECK(rest == model.bytes());
    left += queue.consume(pool, rest.size()).messages;
    CHECK(queue.empty());
    CHECK(left == pushed);
}

TEST_CASE("Small messages that wait for long are packed, and their frames let go", "[send_queue]") {
    SendQueue::Pool pool;
    SendQueue queue;
    std::string bytes;
    std::vector<FramePtr> small;
    for (int i = 0; i < 10'000; ++i) {
        small.push_back(Frame::make(Opcode::text, std::to_string(i)));
        bytes.append(small.back()->data(), small.back()->size());
        queue.push(pool, whole(small.back()), true);
    }
    CHECK(std::all_of(small.begin(), small.end(),
                      [](const FramePtr& frame) { return frame->unique(); }));
    std::vector<WriteBuffer> buffers(10'000);
    CHECK(queue.gather(buffers.data(), buffers.size()) == bytes.size() / 2048 + 1);

    // Not what is large, has a key that newer ones look for, or is no message.
    const FramePtr large = Frame::make(Opcode::text, std::string(300, 'x'));
    const FramePtr keyed = Frame::make(Opcode::text, "x", "key");
    const FramePtr pong = Frame::make(Opcode::pong, "x");
    for (const FramePtr& frame : {large, keyed, pong}) {
        queue.push(pool, whole(frame, frame == pong ? 0 : 1), true);
        bytes.append(frame->data(), frame->size());
        CHECK_FALSE(frame->unique());
    }
    CHECK(gathered(queue, buffers.size()) == bytes);
    CHECK(queue.consume(pool, bytes.size()).messages == 10'002);
    CHECK(queue.empty());
}

TEST_CASE("What others have, too, is not added to", "[send_queue]") {
    SendQueue::Pool pool;
    SendQueue queue;
    const FramePtr block = Frame::allocate(1000);  // as of a log of broadcasts
    block->append(Opcode::text, "one");
    queue.push(pool, whole(block));
    queue.push(pool, textRun("two"), true);
    CHECK(block->size() == 5);
    CHECK(gathered(queue) == "\x81\x03one\x81\x03two");
}

TEST_CASE("A queue of very many frames is freed without recursion", "[send_queue]") {
    SendQueue::Pool pool;
    const FramePtr frame = Frame::make(Opcode::text, "");
    {
        SendQueue queue;
        for (int i = 0; i < 1'000'000; ++i) {
            queue.push(pool, whole(frame));
        }
    }
    SendQueue queue;
    for (int i = 0; i < 1'000'000; ++i) {
        queue.push(pool, whole(frame));
    }
    CHECK(queue.dropUnstarted(pool).messages == 1'000'000);
    CHECK(frame->unique());
}
