#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <mutex>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include <pushhub/auth/authenticator.hpp>
#include <pushhub/auth/base64url.hpp>
#include <pushhub/detail/time.hpp>
#include <pushhub/detail/unique_function.hpp>

namespace pushhub::auth {

/// Tickets that each open one connection within a short time. A page fetches a ticket with an
/// ordinary authenticated request and puts it into the URL of the WebSocket: copies of that URL in
/// logs and histories are worthless afterwards.
///
/// A ticket is 192 bits from std::random_device, in base64url: with libstdc++, libc++ and
/// Microsoft's library that is the system's or the processor's source of randomness. Tickets cannot
/// be guessed, so the look-up need not be constant-time: any information in its timing does not
/// help to guess the rest of a ticket within its lifetime.
///
/// Limited to one process: a service of several processes must keep its tickets in a common store
/// instead. Any thread; O(log tickets).
class TicketOffice {
public:
    using Clock = std::chrono::steady_clock;
    using Now = pushhub::detail::UniqueFunction<Clock::time_point()>;

    /// Keeps at most `limit` unredeemed tickets; if it is exceeded, the ticket that would expire
    /// next is dropped. `now` is for tests. Throws std::invalid_argument for a limit of 0.
    explicit TicketOffice(std::size_t limit = 100'000, Now now = &Clock::now)
        : limit_(limit), now_(std::move(now)) {
        if (limit_ == 0) {
            throw std::invalid_argument("pushhub: the limit of a TicketOffice is 0");
        }
    }

    TicketOffice(const TicketOffice&) = delete;
    TicketOffice& operator=(const TicketOffice&) = delete;

    /// A new ticket for that user. Throws std::invalid_argument for an empty user id or a lifetime
    /// not from 1 s to 1 h, and any exception of std::random_device if it has no source.
    std::string issue(std::string userId, std::chrono::seconds life = std::chrono::seconds(30)) {
        if (userId.empty()) {
            throw std::invalid_argument("pushhub: a ticket for nobody");
        }
        if (life < std::chrono::seconds(1) || life > std::chrono::hours(1)) {
            throw std::invalid_argument("pushhub: the life of a ticket is " +
                                        std::to_string(life.count()) +
                                        " s, expected from 1 s to 1 h");
        }
        std::string ticket = randomText();
        const std::lock_guard<std::mutex> lock(mutex_);
        const Clock::time_point now = now_();
        dropExpired(now);
        if (byExpiry_.size() >= limit_) {
            drop(byExpiry_.begin());
        }
        const auto entry = byExpiry_.emplace(pushhub::detail::saturatedAdd(now, life),
                                             Entry{ticket, std::move(userId)});
        byTicket_.emplace(entry->second.ticket, entry);
        return ticket;
    }

    /// Redeems a ticket and returns its user; nothing if it was never issued, has been redeemed or
    /// dropped, or has expired.
    std::optional<std::string> redeem(std::string_view ticket) {
        const std::lock_guard<std::mutex> lock(mutex_);
        dropExpired(now_());
        const auto found = byTicket_.find(ticket);
        if (found == byTicket_.end()) {
            return std::nullopt;
        }
        const ByExpiry::iterator entry = found->second;
        std::string userId = std::move(entry->second.userId);
        drop(entry);
        return userId;
    }

    /// Number of tickets that can be redeemed now.
    std::size_t size() {
        const std::lock_guard<std::mutex> lock(mutex_);
        dropExpired(now_());
        return byExpiry_.size();
    }

private:
    struct Entry {
        std::string ticket;
        std::string userId;
    };
    using ByExpiry = std::multimap<Clock::time_point, Entry>;

    static std::string randomText() {
        using Source = std::random_device;
        static_assert((Source::max)() >= (std::numeric_limits<std::uint32_t>::max)());
        Source source;
        std::string bytes;
        for (int word = 0; word < 6; ++word) {
            auto bits = source();
            for (int i = 0; i < 4; ++i, bits >>= 8U) {
                bytes.push_back(static_cast<char>(static_cast<unsigned char>(bits & 0xffU)));
            }
        }
        return base64UrlEncode(bytes);
    }

    void dropExpired(Clock::time_point now) {
        while (!byExpiry_.empty() && byExpiry_.begin()->first <= now) {
            drop(byExpiry_.begin());
        }
    }

    void drop(ByExpiry::iterator entry) {
        byTicket_.erase(entry->second.ticket);
        byExpiry_.erase(entry);
    }

    const std::size_t limit_;
    const Now now_;
    std::mutex mutex_;
    ByExpiry byExpiry_;
    std::unordered_map<std::string_view, ByExpiry::iterator> byTicket_;  // views into byExpiry_
};

/// A check for `Authenticator` (and `firstMessage`) that redeems tickets:
/// `auth::Authenticator({auth::queryToken("ticket")}, auth::ticketCheck(office))`. The office must
/// outlive the hub.
inline auto ticketCheck(TicketOffice& office) {
    return [&office](const std::string& ticket) -> std::optional<Identity> {
        std::optional<std::string> userId = office.redeem(ticket);
        if (!userId) {
            return std::nullopt;
        }
        Identity identity;
        identity.userId = std::move(*userId);
        return identity;
    };
}

}  // namespace pushhub::auth
