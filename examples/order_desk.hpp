#pragma once

// Business code of a service that pushes. It is written for any kind of hub: the service uses it
// with PushHub<>, its unit test (order_desk_test.cpp) with PushHub<LoopbackTransport>.

#include <pushhub/push_hub.hpp>

#include <cstdint>
#include <iterator>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

template <class Hub>
class OrderDesk {
public:
    explicit OrderDesk(Hub& hub) : hub_(hub) {
        hub_.onMessage([this](const pushhub::SessionPtr& session, std::string_view text) {
            if (text.substr(0, 4) == "buy ") {
                buy(session->userId(), std::string(text.substr(4)));
            } else {
                session->send("error: what is '" + std::string(text.substr(0, 40)) + "'?");
            }
        });
        // A user who was away when an order was filled is told at the next visit.
        hub_.onOpen([this](const pushhub::SessionPtr& session) {
            const std::lock_guard<std::mutex> lock(mutex_);
            ++visits_;
            auto [untold, last] = untold_.equal_range(session->userId());
            while (untold != last) {
                const bool told = session->send(untold->second).accepted > 0;
                untold = told ? untold_.erase(untold) : std::next(untold);
            }
        });
    }

    /// The exchange has filled an order. Any thread.
    void filled(const std::string& user, const std::string& symbol) {
        const std::string text = "filled " + symbol;
        for (;;) {
            const std::uint64_t before = visits();
            // Not only if offline: a session that closes, or has a full queue, takes nothing
            // either.
            if (hub_.sendOne(user, text).accepted > 0) {
                return;
            }
            // A user who has connected meanwhile was told without this text: try again. One who
            // connects from now on is told with it.
            const std::lock_guard<std::mutex> lock(mutex_);
            if (visits_ == before) {
                untold_.emplace(user, text);
                return;
            }
        }
    }

private:
    void buy(const std::string& user, const std::string& symbol) {
        hub_.sendOne(user, "ordered " + symbol);  // in all tabs of the user
    }

    std::uint64_t visits() {
        const std::lock_guard<std::mutex> lock(mutex_);
        return visits_;
    }

    Hub& hub_;
    std::mutex mutex_;
    std::uint64_t visits_ = 0;  // of all users
    std::multimap<std::string, std::string> untold_;
};
