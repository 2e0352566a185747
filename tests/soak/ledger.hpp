#pragma once

// What the soak test knows of each session, from the side of who pushes, of the hooks and of the
// client, and the comparison of the three.

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <pushhub/session.hpp>

#include "support/socket_client.hpp"

namespace pushhub::soak {

using test::Clock;
using Random = std::minstd_rand;

/// Each message is "STREAM NUMBER padding"; within a stream the numbers rise.
namespace stream {
constexpr std::size_t pushers = 2;
constexpr std::size_t keys = 3;
// Of one session, numbered without gaps in the order they were accepted:
constexpr std::size_t direct = 0;  // + pusher
constexpr std::size_t hook = direct + pushers;
constexpr std::size_t keyed = hook + 1;  // + pusher * keys + key
// For several sessions, numbered by who pushes:
constexpr std::size_t shared = keyed + pushers * keys;  // + pusher
constexpr std::size_t sharedKeyed = shared + pushers;   // + pusher * keys + key
constexpr std::size_t count = sharedKeyed + pushers * keys;
}  // namespace stream

inline std::string messageOf(std::size_t of, std::uint64_t number, std::size_t padding) {
    return std::to_string(of) + ' ' + std::to_string(number) + ' ' + std::string(padding, 'x');
}

/// Counts of everything that happened, by name; and what went wrong.
class Report {
public:
    void count(const std::string& what, std::uint64_t by = 1) {
        const std::lock_guard<std::mutex> lock(mutex_);
        counts_[what] += by;
    }

    void fail(const std::string& what) {
        const std::lock_guard<std::mutex> lock(mutex_);
        ++failures_;
        if (failures_ <= 20) {
            std::cout << "FAILURE: " << what << std::endl;
        }
    }

    void check(bool good, const std::string& what) {
        if (!good) {
            fail(what);
        }
    }

    std::uint64_t failures() const {
        const std::lock_guard<std::mutex> lock(mutex_);
        return failures_;
    }

    void print() const {
        const std::lock_guard<std::mutex> lock(mutex_);
        for (const auto& [what, number] : counts_) {
            std::cout << "  " << what << ": " << number << '\n';
        }
    }

private:
    mutable std::mutex mutex_;
    std::map<std::string, std::uint64_t> counts_;
    std::uint64_t failures_ = 0;
};

/// One client that asks for a session.
struct Ledger {
    Ledger(std::uint64_t number, std::string hubName, bool isOwn, bool isStrict)
        : id(number), hub(std::move(hubName)), own(isOwn), strict(isStrict) {}

    const std::uint64_t id;
    const std::string hub;
    const bool own;     // nothing is pushed to all where it is: every message for it is known
    const bool strict;  // nothing is pushed to it that makes older messages go

    // Who pushes. A number of `sent` is touched by one thread only.
    std::array<std::uint64_t, stream::shared> sent{};
    std::atomic<std::uint64_t> accepted{0};
    std::atomic<std::uint64_t> perhaps{0};  // of pushes to several that not all accepted
    std::atomic<int> busy{0};               // threads that are about to count

    // The hooks.
    std::atomic<int> opened{0};
    std::atomic<int> closed{0};
    CloseInfo end;

    // The client.
    std::array<std::uint64_t, stream::count> last{};
    std::uint64_t received = 0;
    bool wrong = false;     // a number came that must not
    bool sawClose = false;  // so everything before it has been read
    std::atomic<bool> left{false};
    Clock::time_point leftAt{};  // before `left`

    void take(std::string_view text) {
        std::array<std::uint64_t, 2> field{};
        for (std::uint64_t& value : field) {
            while (!text.empty() && text.front() >= '0' && text.front() <= '9') {
                value = value * 10 + static_cast<std::uint64_t>(text.front() - '0');
                text.remove_prefix(1);
            }
            wrong = wrong || text.empty() || text.front() != ' ';
            text.remove_prefix(std::min<std::size_t>(text.size(), 1));
        }
        const auto [of, number] = field;
        if (of >= stream::count || text.find_first_not_of('x') != std::string_view::npos) {
            wrong = true;
            return;
        }
        const bool gapless = strict && of < stream::shared;
        wrong = wrong || (gapless ? number != last[of] + 1 : number <= last[of]);
        last[of] = number;
        ++received;
    }
};
using LedgerPtr = std::shared_ptr<Ledger>;

/// All ledgers that are not settled, and the sessions that can be pushed to.
class Book {
public:
    struct Target {
        LedgerPtr ledger;
        SessionPtr session;
    };

    explicit Book(Report& report) : report_(report) {}

    LedgerPtr enter(const std::string& hub, bool own, bool strict) {
        const std::lock_guard<std::mutex> lock(mutex_);
        auto ledger = std::make_shared<Ledger>(++lastId_, hub, own, strict);
        ledgers_[ledger->id] = ledger;
        return ledger;
    }

    LedgerPtr find(std::uint64_t id) const {
        const std::lock_guard<std::mutex> lock(mutex_);
        const auto found = ledgers_.find(id);
        return found == ledgers_.end() ? nullptr : found->second;
    }

    void opened(Target target) {
        const std::lock_guard<std::mutex> lock(mutex_);
        open_.push_back(std::move(target));
    }

    void closed(const LedgerPtr& ledger) {
        const std::lock_guard<std::mutex> lock(mutex_);
        const auto found = std::find_if(open_.begin(), open_.end(), [&](const Target& target) {
            return target.ledger == ledger;
        });
        if (found != open_.end()) {
            std::swap(*found, open_.back());
            open_.pop_back();
        }
    }

    /// Up to `count` that are open, at random, of one hub or of any; with a repetition perhaps.
    std::vector<Target> some(std::size_t count, Random& random, std::string_view hub = {}) const {
        const std::lock_guard<std::mutex> lock(mutex_);
        std::vector<Target> chosen;
        for (; count > 0 && !open_.empty(); --count) {
            const Target& target = open_[random() % open_.size()];
            if (hub.empty() || target.ledger->hub == hub) {
                chosen.push_back(target);
            }
        }
        return chosen;
    }

    std::size_t size() const {
        const std::lock_guard<std::mutex> lock(mutex_);
        return ledgers_.size();
    }

    /// Compares and forgets the ledgers of clients that have left and sessions that have ended.
    void settle() {
        const std::lock_guard<std::mutex> lock(mutex_);
        const auto now = Clock::now();
        for (auto it = ledgers_.begin(); it != ledgers_.end();) {
            const Ledger& ledger = *it->second;
            const bool left = ledger.left;
            const bool ended = ledger.opened > 0 && ledger.closed > 0 && ledger.busy == 0;
            // One that was not accepted, or left before it was; it may still be decided.
            const bool never = ledger.opened == 0 && left && now - ledger.leftAt > decisionTime;
            if (left && ended) {
                audit(ledger);
            } else if (left && !never && now - ledger.leftAt > noticeTime) {
                report_.fail("session " + std::to_string(ledger.id) +
                             " has not ended long after its client left");
            } else if (!never) {
                ++it;
                continue;
            }
            it = ledgers_.erase(it);
        }
    }

    std::uint64_t droppedMessages() const { return droppedMessages_; }

private:
    static constexpr std::chrono::seconds decisionTime{4};
    static constexpr std::chrono::seconds noticeTime{30};

    void audit(const Ledger& ledger) {
        const std::string who = "session " + std::to_string(ledger.id) + ": ";
        const CloseInfo& end = ledger.end;
        const std::uint64_t total =
            end.deliveredMessages + end.droppedMessages + end.undeliveredMessages;
        const std::uint64_t accepted = ledger.accepted;
        const std::uint64_t perhaps = ledger.perhaps;
        report_.check(ledger.opened == 1 && ledger.closed == 1, who + "onOpen or onClose not once");
        report_.check(total >= accepted && (!ledger.own || total <= accepted + perhaps),
                      who + "accepted " + std::to_string(accepted) + " (and perhaps " +
                          std::to_string(perhaps) + " more), but delivered " +
                          std::to_string(end.deliveredMessages) + ", dropped " +
                          std::to_string(end.droppedMessages) + ", undelivered " +
                          std::to_string(end.undeliveredMessages) + "; " + end.error.message());
        // Of what TLS has encrypted at once, none counts as delivered before all has left.
        const std::uint64_t most = end.deliveredMessages + end.undeliveredMessages;
        report_.check(
            ledger.sawClose ? ledger.received == end.deliveredMessages : ledger.received <= most,
            who + "delivered " + std::to_string(end.deliveredMessages) + ", received " +
                std::to_string(ledger.received));
        report_.check(!ledger.wrong, who + "a message is lost, doubled, out of order or broken");
        report_.check(!ledger.own || !ledger.strict || end.droppedMessages == 0,
                      who + "dropped what must not be");
        for (std::size_t i = 0; i < stream::shared; ++i) {
            report_.check(ledger.last[i] <= ledger.sent[i], who + "received what was not accepted");
        }
        droppedMessages_ += end.droppedMessages;
        report_.count("sessions settled");
        report_.count(perhaps == 0 && ledger.own ? "sessions settled to the message"
                                                 : "sessions settled within bounds");
        report_.count("messages delivered", end.deliveredMessages);
        report_.count("messages received", ledger.received);
        report_.count("messages dropped", end.droppedMessages);
        report_.count("messages undelivered", end.undeliveredMessages);
        report_.count("ended: " + (end.error ? end.error.message() : std::string("no error")));
    }

    Report& report_;
    mutable std::mutex mutex_;
    std::map<std::uint64_t, LedgerPtr> ledgers_;
    std::vector<Target> open_;
    std::uint64_t lastId_ = 0;
    std::atomic<std::uint64_t> droppedMessages_{0};
};

}  // namespace pushhub::soak
