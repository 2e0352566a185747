#include <pushhub/registry.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <memory>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/connection_archetype.hpp"

using pushhub::Registry;
using pushhub::Session;
using pushhub::SessionPtr;
using pushhub::UserSessions;
using pushhub::test::SessionMaker;

namespace {

std::vector<SessionPtr> listed(const UserSessions& sessions) {
    std::vector<SessionPtr> list;
    sessions.forEach([&](const SessionPtr& session) { list.push_back(session); });
    return list;
}

std::vector<std::string> sorted(std::vector<std::string> list) {
    std::sort(list.begin(), list.end());
    return list;
}

}  // namespace

TEST_CASE("A user without a session is not there", "[registry]") {
    Registry registry;
    CHECK(registry.find("1").empty());
    CHECK(registry.find("1").size() == 0);
    CHECK(registry.sessionCount() == 0);
    CHECK(registry.userCount() == 0);
    CHECK(registry.userIds().empty());
    SessionMaker make;
    registry.remove(*make("1"));
    CHECK(registry.sessionCount() == 0);
}

TEST_CASE("A user has as many sessions as were added", "[registry]") {
    Registry registry;
    SessionMaker make;
    const SessionPtr a1 = make("a");
    const SessionPtr b = make("b");
    const SessionPtr a2 = make("a");
    for (const SessionPtr& session : {a1, b, a2}) {
        registry.add(session);
    }
    CHECK(registry.sessionCount() == 3);
    CHECK(registry.userCount() == 2);
    CHECK(listed(registry.find("a")) == std::vector<SessionPtr>{a1, a2});
    CHECK(listed(registry.find("b")) == std::vector<SessionPtr>{b});
    CHECK(sorted(registry.userIds()) == std::vector<std::string>{"a", "b"});
}

TEST_CASE("The late end of an old session does not touch a newer one", "[registry]") {
    Registry registry;
    SessionMaker make;
    const SessionPtr old = make("0002");
    const SessionPtr newer = make("0002");
    registry.add(old);
    registry.add(newer);
    registry.remove(*old);
    CHECK(listed(registry.find("0002")) == std::vector<SessionPtr>{newer});
    registry.remove(*old);  // once more changes nothing
    registry.remove(*make("0002"));
    CHECK(registry.sessionCount() == 1);
    CHECK(registry.userCount() == 1);
    CHECK(listed(registry.find("0002")) == std::vector<SessionPtr>{newer});
}

TEST_CASE("Sessions of a user go in every order, and are freed", "[registry]") {
    // The registry's key is the name that the first of the sessions holds. Long, so that it lies
    // on the heap and a key that is left behind shows under a sanitizer.
    const std::string user = "a user whose name does not fit into a small string";
    std::vector<std::size_t> order(5);
    std::iota(order.begin(), order.end(), std::size_t{0});
    do {
        Registry registry;
        SessionMaker make;
        std::vector<SessionPtr> sessions;
        std::vector<std::weak_ptr<Session>> watched;
        for (std::size_t i = 0; i < order.size(); ++i) {
            sessions.push_back(make(user));
            watched.emplace_back(sessions.back());
            registry.add(sessions.back());
        }
        bool good = true;
        std::size_t left = order.size();
        for (const std::size_t i : order) {
            registry.remove(*sessions[i]);
            sessions[i] = nullptr;
            --left;
            good = good && watched[i].expired();
            good = good && registry.sessionCount() == left;
            good = good && registry.userCount() == (left > 0 ? 1U : 0U);
            good = good && registry.find(user).size() == left;
            const auto users = registry.userIds();
            good = good && users.size() == (left > 0 ? 1U : 0U);
            good = good && (left == 0 || users[0] == user);
            for (const SessionPtr& session : listed(registry.find(user))) {
                good = good && std::count(sessions.begin(), sessions.end(), session) == 1;
            }
        }
        REQUIRE(good);
    } while (std::next_permutation(order.begin(), order.end()));
}

TEST_CASE("A user may come back while one of the sessions goes", "[registry]") {
    Registry registry;
    SessionMaker make;
    const std::string user(40, 'u');
    SessionPtr current = make(user);
    registry.add(current);
    for (int i = 0; i < 1000; ++i) {
        SessionPtr next = make(user);
        registry.add(next);
        registry.remove(*current);
        current = std::move(next);
        REQUIRE(listed(registry.find(user)) == std::vector<SessionPtr>{current});
        REQUIRE(registry.sessionCount() == 1);
    }
}

TEST_CASE("What was found stays, whatever happens to the registry", "[registry]") {
    Registry registry;
    SessionMaker make;
    UserSessions found;
    {
        const SessionPtr a = make("a");
        const SessionPtr b = make("a");
        registry.add(a);
        registry.add(b);
        found = registry.find("a");
        registry.remove(*a);
        registry.remove(*b);
    }
    CHECK(found.size() == 2);
    CHECK(found.front()->userId() == "a");
}

TEST_CASE("Many users", "[registry]") {
    Registry registry;
    SessionMaker make;
    std::vector<SessionPtr> sessions;
    for (int i = 0; i < 3000; ++i) {
        sessions.push_back(make("user " + std::to_string(i % 1000)));
        registry.add(sessions.back());
    }
    CHECK(registry.userCount() == 1000);
    CHECK(registry.find("user 999").size() == 3);
    auto users = sorted(registry.userIds());
    CHECK(std::unique(users.begin(), users.end()) == users.end());
    CHECK(users.size() == 1000);
    for (std::size_t i = 0; i < sessions.size(); i += 3) {
        registry.remove(*sessions[i]);
        sessions[i] = nullptr;
    }
    CHECK(registry.sessionCount() == 2000);
    CHECK(registry.userCount() == 1000);
    for (const SessionPtr& session : sessions) {
        if (session) {
            registry.remove(*session);
        }
    }
    CHECK(registry.sessionCount() == 0);
    CHECK(registry.userCount() == 0);
    CHECK(registry.userIds().empty());
}

TEST_CASE("Sessions come and go on several threads while others look", "[registry]") {
    Registry registry;
    std::atomic<bool> done{false};
    std::atomic<bool> wrong{false};
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
        threads.emplace_back([&] {
            SessionMaker make;
            for (int i = 0; i < 2000; ++i) {
                const std::string user = "a shared user with a long name " + std::to_string(i % 7);
                SessionPtr first = make(user);
                SessionPtr second = make(user);
                registry.add(first);
                registry.add(second);
                const auto sessions = listed(registry.find(user));
                if (std::count(sessions.begin(), sessions.end(), first) != 1 ||
                    std::count(sessions.begin(), sessions.end(), second) != 1) {
                    wrong = true;
                }
                registry.remove(i % 2 ? *first : *second);
                registry.remove(i % 2 ? *second : *first);
            }
        });
    }
    std::thread reader([&] {
        while (!done) {
            for (const std::string& user : registry.userIds()) {
                registry.find(user).forEach([&](const SessionPtr& session) {
                    if (session->userId() != user) {
                        wrong = true;
                    }
                });
            }
        }
    });
    for (std::thread& thread : threads) {
        thread.join();
    }
    done = true;
    reader.join();
    CHECK_FALSE(wrong);
    CHECK(registry.sessionCount() == 0);
    CHECK(registry.userCount() == 0);
}
