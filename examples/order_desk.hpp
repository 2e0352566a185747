#pragma once

// Business code of a service that pushes. It is written for any kind of hub: the service uses it
// with PushHub<>, its unit test (order_desk_test.cpp) with PushHub<LoopbackTransport>.

#include <pushhub/push_hub.hpp>

#include <cstddef>
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
            const auto [first, last] = untold_.equal_range(session->userId());
            for (auto told = first; told != last; ++told) {
                session->send(told->second);
            }
            untold_.erase(first, last);
        });
    }

    /// The exchange has filled an order. Any thread.
    void filled(const std::string& user, const std::string& symbol) {
        const std::string text = "filled " + symbol;
        if (hub_.sendOne(user, text).offline > 0) {
            const std::lock_guard<std::mutex> lock(mutex_);
            untold_.emplace(user, text);
        }
    }

private:
    void buy(const std::string& user, const std::string& symbol) {
        hub_.sendOne(user, "ordered " + symbol);  // in all tabs of the user
    }

    Hub& hub_;
    std::mutex mutex_;
    std::multimap<std::string, std::string> untold_;
};
