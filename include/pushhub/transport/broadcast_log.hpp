#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>
#include <vector>

#include <pushhub/options.hpp>
#include <pushhub/session_id.hpp>
#include <pushhub/transport/send_queue.hpp>

namespace pushhub {

/// Sessions that a broadcast passes over, sorted.
class ExceptList final : public detail::RefCounted<ExceptList> {
public:
    explicit ExceptList(std::vector<SessionId> ids) : ids_(std::move(ids)) {
        std::sort(ids_.begin(), ids_.end());
    }

    bool contains(SessionId id) const noexcept {
        return std::binary_search(ids_.begin(), ids_.end(), id);
    }

    std::size_t size() const noexcept { return ids_.size(); }

private:
    std::vector<SessionId> ids_;
};

/// Broadcasts of one hub on one event loop that some session has not taken yet. Each session
/// remembers how far it has come, so a broadcast is stored once however many it goes to, a round
/// over many sessions can be cut into slices, and a session that gets a message of its own
/// meanwhile takes the earlier broadcasts first. Not thread-safe.
class BroadcastLog {
public:
    struct Entry {
        FrameRun run;
        detail::RefPtr<ExceptList> except;
        OverflowPolicy whenFull = OverflowPolicy::close;

        bool skips(SessionId id) const noexcept { return except && except->contains(id); }

        /// In the form for a session with that window; 0 is one without compression.
        FrameRun runFor(unsigned window) const noexcept {
            if (window == 0 || !run.frame->hasForms()) {
                return run;
            }
            Frame& form = run.frame->form(window);
            return {FramePtr(&form), 0, form.size(), 1};
        }
        WriteBuffer bytesFor(unsigned window) const noexcept {
            if (window == 0 || !run.frame->hasForms()) {
                return {run.data(), run.size()};
            }
            const Frame& form = run.frame->form(window);
            return {form.data(), form.size()};
        }
    };

    /// Position behind the last entry.
    std::uint64_t end() const noexcept { return end_; }

    const Entry& operator[](std::uint64_t position) const noexcept {
        return *(entries_.begin() + static_cast<std::ptrdiff_t>(position - base_));
    }

    /// Appends a frame. A small one joins its predecessor in a shared block, so that a session's
    /// write is one buffer; the first of a row is not copied. Throws std::bad_alloc, and then
    /// nothing has changed.
    void append(const FramePtr& frame, const detail::RefPtr<ExceptList>& except,
                OverflowPolicy whenFull = OverflowPolicy::close) {
        const std::uint32_t size = frame->size();
        const bool joinable =
            size <= maxJoined && !except && frame->key().empty() && !frame->hasForms();
        if (joinable && open_ && !entries_.empty() && entries_.back().whenFull == whenFull) {
            FrameRun& last = entries_.back().run;
            if (last.frame == block_ && block_->room() >= size) {
                block_->append({frame->data(), size});
                last.end += size;
                ++last.messages;
                return;
            }
            if (last.messages == 1 && startBlock(last.size() + size)) {
                const std::uint32_t begin = block_->size();
                block_->append({last.data(), last.size()});
                block_->append({frame->data(), size});
                last = {block_, begin, block_->size(), 2};
                return;
            }
        }
        entries_.push_back({{frame, 0, size, 1}, except, whenFull});
        ++end_;
        open_ = joinable;
    }

    /// Ends joining: a session is about to take what stands here.
    void seal() noexcept { open_ = false; }

    /// Forgets the entries before `position`: every session has taken them.
    void trim(std::uint64_t position) {
        if (position <= base_) {
            return;
        }
        const auto count = static_cast<std::ptrdiff_t>(position - base_);
        entries_.erase(entries_.begin(), entries_.begin() + count);
        base_ = position;
        if (entries_.empty() && entries_.capacity() > maxSpare) {
            entries_.shrink_to_fit();
        }
    }

private:
    static constexpr std::uint32_t maxJoined = 4 * 1024;
    static constexpr std::size_t blockSize = 64 * 1024;
    static constexpr std::size_t maxSpare = 1024;

    // A block with that much room; false without memory, and then a frame stands by itself. As long
    // as slow sessions keep what it holds, it is filled further, or each row would cost a block.
    bool startBlock(std::uint32_t room) noexcept {
        if (block_ && block_->unique()) {
            block_->clear();
        }
        if (block_ && block_->room() >= room) {
            return true;
        }
        try {
            block_ = Frame::allocate(blockSize);
            return true;
        } catch (const std::bad_alloc&) {
            return false;
        }
    }

    std::vector<Entry> entries_;
    std::uint64_t base_ = 0;  // position of the first entry
    std::uint64_t end_ = 0;
    FramePtr block_;
    bool open_ = false;
};

}  // namespace pushhub
