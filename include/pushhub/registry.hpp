#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <pushhub/session.hpp>

namespace pushhub {

/// The sessions of one user. A single session, the usual case, needs no extra allocation.
class UserSessions {
public:
    bool empty() const noexcept { return !first_; }
    std::size_t size() const noexcept { return first_ ? 1 + more_.size() : 0; }
    const SessionPtr& front() const noexcept { return first_; }

    /// Number of sessions that are not closing.
    std::size_t openCount() const noexcept {
        std::size_t count = 0;
        forEach([&](const SessionPtr& session) { count += session->isOpen() ? 1U : 0U; });
        return count;
    }

    /// The oldest session that is not closing; null if there is none.
    SessionPtr oldestOpen() const {
        SessionPtr oldest;
        forEach([&](const SessionPtr& session) {
            if (!oldest && session->isOpen()) {
                oldest = session;
            }
        });
        return oldest;
    }

    void add(SessionPtr session) {
        if (first_) {
            more_.push_back(std::move(session));
        } else {
            first_ = std::move(session);
        }
    }

    /// Removes exactly this session; false if it is not in the list.
    bool remove(const Session& session) {
        if (first_.get() == &session) {
            first_ = nullptr;
            if (!more_.empty()) {
                first_ = std::move(more_.front());
                more_.erase(more_.begin());
            }
            return true;
        }
        const auto found = std::find_if(more_.begin(), more_.end(), [&](const SessionPtr& other) {
            return other.get() == &session;
        });
        if (found == more_.end()) {
            return false;
        }
        more_.erase(found);
        return true;
    }

    template <class Visit>
    void forEach(Visit visit) const {
        if (first_) {
            visit(first_);
        }
        for (const SessionPtr& session : more_) {
            visit(session);
        }
    }

private:
    SessionPtr first_;
    std::vector<SessionPtr> more_;
};

/// Maps users to their sessions. A user may have many, and a session is removed by identity: the
/// late end of an old session does not affect a newer one. Any thread; look-ups are O(1) and hold
/// one of several locks for the duration of a copy.
class Registry {
public:
    enum class Added : std::uint8_t { yes, full, userFull };

    /// Adds a session if there are fewer than `most`, and its user has fewer than `mostPerUser`
    /// open sessions (0: unlimited).
    Added add(const SessionPtr& session,
              std::size_t most = (std::numeric_limits<std::size_t>::max)(),
              std::size_t mostPerUser = 0) {
        if (sessions_.fetch_add(1) >= most) {
            --sessions_;
            return Added::full;
        }
        Shard& shard = shardOf(session->userId());
        const std::lock_guard<std::mutex> lock(shard.mutex);
        try {
            UserSessions& sessions = shard.users[session->userId()];
            if (mostPerUser > 0 && sessions.openCount() >= mostPerUser) {
                --sessions_;
                return Added::userFull;
            }
            const bool firstOfUser = sessions.empty();
            sessions.add(session);
            users_ += firstOfUser ? 1 : 0;
        } catch (...) {
            --sessions_;
            throw;
        }
        return Added::yes;
    }

    void remove(const Session& session) noexcept {
        Shard& shard = shardOf(session.userId());
        const std::lock_guard<std::mutex> lock(shard.mutex);
        const auto user = shard.users.find(session.userId());
        if (user == shard.users.end()) {
            return;
        }
        // The key lies in the first session of the user, which may be the one that goes.
        const bool ownsKey = user->second.front().get() == &session;
        if (!user->second.remove(session)) {
            return;
        }
        --sessions_;
        if (user->second.empty()) {
            shard.users.erase(user);
            --users_;
        } else if (ownsKey) {
            auto node = shard.users.extract(user);
            node.key() = node.mapped().front()->userId();
            shard.users.insert(std::move(node));
        }
    }

    UserSessions find(std::string_view userId) const {
        const Shard& shard = shardOf(userId);
        const std::lock_guard<std::mutex> lock(shard.mutex);
        const auto user = shard.users.find(userId);
        return user == shard.users.end() ? UserSessions() : user->second;
    }

    std::vector<std::string> userIds() const {
        std::vector<std::string> ids;
        ids.reserve(userCount());
        for (const Shard& shard : shards_) {
            const std::lock_guard<std::mutex> lock(shard.mutex);
            for (const auto& user : shard.users) {
                ids.emplace_back(user.first);
            }
        }
        return ids;
    }

    std::size_t sessionCount() const noexcept { return sessions_; }
    std::size_t userCount() const noexcept { return users_; }

private:
    struct Shard {
        mutable std::mutex mutex;
        std::unordered_map<std::string_view, UserSessions> users;
    };

    const Shard& shardOf(std::string_view userId) const noexcept {
        // The maps take the low bits of the same hash.
        constexpr int half = std::numeric_limits<std::size_t>::digits / 2;
        return shards_[std::hash<std::string_view>()(userId) >> half & (shards_.size() - 1)];
    }
    Shard& shardOf(std::string_view userId) noexcept {
        return const_cast<Shard&>(std::as_const(*this).shardOf(userId));
    }

    std::array<Shard, 16> shards_;
    std::atomic<std::size_t> sessions_{0};
    std::atomic<std::size_t> users_{0};
};

}  // namespace pushhub
