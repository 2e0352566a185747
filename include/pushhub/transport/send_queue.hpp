#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <string_view>
#include <utility>

#include <pushhub/frame.hpp>

namespace pushhub {

/// One piece of a gathered write. Without defaults: arrays of it stand on the hot path, and are
/// filled as far as they are used.
struct WriteBuffer {
    const char* data;
    std::size_t size;
};

/// A run of whole frames inside a shared `Frame`. `messages` says how many data messages it
/// holds; 0 marks a control frame or the answer to a handshake, which are no messages.
struct FrameRun {
    FramePtr frame;
    std::uint32_t begin = 0;
    std::uint32_t end = 0;
    std::uint32_t messages = 0;

    /// Bytes. A control frame that waits may still be replaced by another, of another size.
    std::uint32_t size() const noexcept { return messages > 0 ? end - begin : frame->size(); }
    const char* data() const noexcept { return frame->data() + begin; }

    // For a run of messages:

    /// Bytes of its first frame.
    std::uint32_t firstSize() const noexcept {
        return static_cast<std::uint32_t>(protocol::frameSize(data()));
    }
    /// Moves past its first frame, and returns the bytes of it.
    std::uint32_t skipFirst() noexcept {
        const std::uint32_t size = firstSize();
        begin += size;
        --messages;
        return size;
    }
    /// Moves past its first frame, and returns it as a run.
    FrameRun takeFirst() {
        FrameRun first = *this;
        first.end = begin + skipFirst();
        first.messages = 1;
        return first;
    }
    /// How many of its frames lie whole within so many bytes from its start.
    std::uint32_t wholeFrames(std::size_t bytes) const noexcept {
        std::uint32_t whole = 0;
        for (const char* at = data(); protocol::frameSize(at) <= bytes; ++whole) {
            bytes -= protocol::frameSize(at);
            at += protocol::frameSize(at);
        }
        return whole;
    }
};

/// Bytes and messages that left a queue.
struct Written {
    std::uint64_t bytes = 0;
    std::uint64_t messages = 0;
};

/// What one session has still to send, in order. It owns memory only while something waits, and
/// takes it from the loop's pool, so that a queue that fills and empties allocates nothing.
class SendQueue {
    struct Chunk {
        static constexpr std::uint32_t capacity = 10;
        std::unique_ptr<Chunk> next;
        std::uint32_t first = 0;
        std::uint32_t last = 0;
        FrameRun runs[capacity];
    };

public:
    /// Spare chunks of one event loop. Not thread-safe.
    class Pool {
    public:
        ~Pool() {
            while (spare_) {  // iteratively: a long list must not recurse
                spare_ = std::move(spare_->next);
            }
        }

        /// Makes sure that the next push needs no memory, or throws std::bad_alloc.
        void reserve() {
            if (!spare_) {
                give(std::make_unique<Chunk>());
            }
        }

    private:
        friend class SendQueue;
        static constexpr std::size_t maxSpare = 4096;

        std::unique_ptr<Chunk> take() {
            if (!spare_) {
                return std::make_unique<Chunk>();
            }
            --count_;
            std::unique_ptr<Chunk> chunk = std::move(spare_);
            spare_ = std::move(chunk->next);
            chunk->first = chunk->last = 0;
            return chunk;
        }

        void give(std::unique_ptr<Chunk> chunk) noexcept {
            if (count_ < maxSpare) {
                ++count_;
                chunk->next = std::move(spare_);
                spare_ = std::move(chunk);
            }
        }

        std::unique_ptr<Chunk> spare_;
        std::size_t count_ = 0;
    };

    SendQueue() = default;
    SendQueue(const SendQueue&) = delete;
    SendQueue& operator=(const SendQueue&) = delete;
    ~SendQueue() {
        while (head_) {
            head_ = std::move(head_->next);
        }
    }

    bool empty() const noexcept { return head_ == nullptr; }

    /// True if `frame` is the first that waits, and has left in part.
    bool started(const FramePtr& frame) const noexcept {
        return partial_ > 0 && head_->runs[head_->first].frame == frame;
    }

    /// Appends `run`; neighbours in the same shared block become one. `pack`: it will wait for
    /// long, so a small one is copied to a block of this queue's own, lest it costs several times
    /// the memory that it counts for.
    void push(Pool& pool, FrameRun run, bool pack = false) {
        if (pack && run.messages > 0 && run.size() <= maxPacked && run.frame->key().empty()) {
            run = packed(run);
        }
        if (tail_) {
            FrameRun& last = tail_->runs[tail_->last - 1];
            if (last.frame == run.frame && last.end == run.begin && last.messages && run.messages) {
                last.end = run.end;
                last.messages += run.messages;
                return;
            }
        }
        if (!tail_ || tail_->last == Chunk::capacity) {
            std::unique_ptr<Chunk> chunk = pool.take();
            Chunk* added = chunk.get();
            (tail_ ? tail_->next : head_) = std::move(chunk);
            tail_ = added;
        }
        tail_->runs[tail_->last++] = std::move(run);
    }

    /// Queues what is left of `run` after its first `written` bytes; returns how many of its
    /// messages had left whole. Only for an empty queue.
    std::uint32_t pushRest(Pool& pool, FrameRun run, std::uint32_t written) {
        push(pool, std::move(run));
        partial_ = written;
        return skipWrittenFrames(head_->runs[head_->first]);
    }

    /// Fills up to `count` buffers with what is to be written next; returns how many.
    std::size_t gather(WriteBuffer* buffers, std::size_t count) const noexcept {
        std::size_t filled = 0;
        std::uint32_t skip = partial_;
        for (const Chunk* chunk = head_.get(); chunk && filled < count; chunk = chunk->next.get()) {
            for (std::uint32_t i = chunk->first; i < chunk->last && filled < count; ++i) {
                const FrameRun& run = chunk->runs[i];
                buffers[filled++] = {run.data() + skip, run.size() - skip};
                skip = 0;
            }
        }
        return filled;
    }

    /// Removes `bytes` that were written, and says how many messages left whole with them.
    Written consume(Pool& pool, std::size_t bytes) noexcept {
        Written written{bytes, 0};
        while (head_) {
            FrameRun& run = head_->runs[head_->first];
            const std::size_t left = run.size() - partial_;
            if (bytes < left) {
                partial_ += static_cast<std::uint32_t>(bytes);
                written.messages += skipWrittenFrames(run);
                break;
            }
            bytes -= left;
            written.messages += run.messages;
            partial_ = 0;
            popFront(pool);
        }
        return written;
    }

    /// Puts `run` in the place of a message with the same key that has not begun to leave, and
    /// returns the bytes of that one; 0 if there is none. O(runs that wait).
    std::uint32_t replace(FrameRun& run) noexcept {
        const std::string_view key = run.frame->key();
        bool started = partial_ > 0;
        for (Chunk* chunk = head_.get(); chunk; chunk = chunk->next.get()) {
            for (std::uint32_t i = chunk->first; i < chunk->last; ++i) {
                FrameRun& waiting = chunk->runs[i];
                if (!std::exchange(started, false) && waiting.frame->key() == key) {
                    std::swap(waiting, run);
                    return run.size();
                }
            }
        }
        return 0;
    }

    /// Drops the message that has waited longest and has not begun to leave. Returns nothing if
    /// there is none.
    Written dropOldest(Pool& pool) {
        splitStarted(pool);
        Chunk* before = nullptr;
        bool started = partial_ > 0;
        for (Chunk* chunk = head_.get(); chunk; before = chunk, chunk = chunk->next.get()) {
            for (std::uint32_t i = chunk->first; i < chunk->last; ++i) {
                FrameRun& run = chunk->runs[i];
                if (std::exchange(started, false) || run.messages == 0) {
                    continue;
                }
                const std::uint32_t size = run.skipFirst();
                if (run.messages == 0) {
                    remove(pool, before, *chunk, i);
                }
                return {size, 1};
            }
        }
        return {};
    }

    /// Drops the messages that have not begun to leave; control frames stay. Returns what was
    /// dropped.
    Written dropUnstarted(Pool& pool) {
        Written dropped;
        SendQueue kept;
        splitStarted(pool);
        bool started = partial_ > 0;
        kept.partial_ = partial_;
        for (; head_; popFront(pool)) {
            FrameRun& run = head_->runs[head_->first];
            if (std::exchange(started, false) || run.messages == 0) {
                kept.push(pool, std::move(run));
            } else {
                dropped.bytes += run.size();
                dropped.messages += run.messages;
            }
        }
        head_ = std::move(kept.head_);
        tail_ = kept.tail_;
        partial_ = kept.partial_;
        return dropped;
    }

    /// Drops everything; returns how many bytes that was.
    std::uint64_t clear(Pool& pool) noexcept {
        std::uint64_t bytes = 0;
        for (; head_; popFront(pool)) {
            bytes += head_->runs[head_->first].size();
        }
        return bytes - std::exchange(partial_, 0);
    }

private:
    static constexpr std::uint32_t maxPacked = 256;
    static constexpr std::size_t packSize = 2048;

    // The same bytes in the block that the last run ends in, or in a new one; without memory, as
    // they are. A block that somebody else has, too, such as the log of broadcasts, is not ours.
    FrameRun packed(const FrameRun& run) const noexcept {
        FramePtr block;
        if (tail_) {
            const FrameRun& last = tail_->runs[tail_->last - 1];
            if (last.messages > 0 && last.frame->unique() && last.frame->room() >= run.size()) {
                block = last.frame;
            }
        }
        try {
            block = block ? block : Frame::allocate(packSize);
        } catch (const std::bad_alloc&) {
            return run;
        }
        const std::uint32_t begin = block->size();
        block->append({run.data(), run.size()});
        return {block, begin, block->size(), run.messages};
    }

    // Moves the start of a run past the frames that have left whole, so that what is dropped or
    // counted later starts at a frame.
    std::uint32_t skipWrittenFrames(FrameRun& run) noexcept {
        std::uint32_t whole = 0;
        for (; run.messages > 0 && run.firstSize() <= partial_; ++whole) {
            partial_ -= run.skipFirst();
        }
        return whole;
    }

    // Makes the frame that has left in part a run of its own, so that those behind it can be
    // dropped.
    void splitStarted(Pool& pool) {
        if (partial_ == 0 || head_->runs[head_->first].messages <= 1) {
            return;
        }
        std::unique_ptr<Chunk> chunk = pool.take();
        chunk->runs[chunk->last++] = head_->runs[head_->first].takeFirst();
        chunk->next = std::move(head_);
        head_ = std::move(chunk);
    }

    // Takes one run out of the middle.
    void remove(Pool& pool, Chunk* before, Chunk& chunk, std::uint32_t index) noexcept {
        for (; index > chunk.first; --index) {
            std::swap(chunk.runs[index], chunk.runs[index - 1]);
        }
        chunk.runs[index].frame = nullptr;
        if (++chunk.first == chunk.last) {
            std::unique_ptr<Chunk>& link = before ? before->next : head_;
            std::unique_ptr<Chunk> done = std::move(link);
            link = std::move(done->next);
            if (tail_ == &chunk) {
                tail_ = before;
            }
            pool.give(std::move(done));
        }
    }

    void popFront(Pool& pool) noexcept {
        head_->runs[head_->first].frame = nullptr;
        if (++head_->first == head_->last) {
            std::unique_ptr<Chunk> done = std::move(head_);
            head_ = std::move(done->next);
            if (!head_) {
                tail_ = nullptr;
            }
            pool.give(std::move(done));
        }
    }

    std::unique_ptr<Chunk> head_;
    Chunk* tail_ = nullptr;
    std::uint32_t partial_ = 0;  // bytes of the first run that have left
};

}  // namespace pushhub
