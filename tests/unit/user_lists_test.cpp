// What sendMore takes for a list of users. Compiled as C++17 and, for its ranges, as C++20.

#include <array>
#include <cstddef>
#include <forward_list>
#include <initializer_list>
#include <iterator>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#if __cplusplus >= 202002L
#include <ranges>
#include <span>
#endif

#include "support/catch.hpp"
#include "support/recorded_hub.hpp"

using namespace pushhub;
using pushhub::test::RecordedHub;

namespace {

// Longer than what a std::string holds without memory: what dangles is found by AddressSanitizer.
std::string userId(int number) {
    return "a user with a name of some length, number " + std::to_string(number);
}

struct Users {
    RecordedHub hub;
    std::vector<RecordedHub::ClientPtr> clients;

    Users() {
        hub.hub.start();
        for (int i = 0; i < 4; ++i) {
            auto client = hub.hub.transport().connect(
                "/websocket/a%20user%20with%20a%20name%20of%20some%20length,%20number%20" +
                std::to_string(i));
            hub.poll();
            REQUIRE(client->status() == 101);
            clients.push_back(std::move(client));
        }
    }

    // Users 1 and 2 got it once, and nobody else.
    void check(const SendResult& result) {
        CHECK(result.accepted == 2);
        CHECK(result.offline == 0);
        CHECK_FALSE(result.error);
        hub.poll();
        CHECK(hub.opened[1]->userId() == userId(1));
        const std::vector<std::size_t> expected{0, 1, 1, 0};
        for (std::size_t i = 0; i < clients.size(); ++i) {
            CHECK(clients[i]->takeTexts().size() == expected[i]);
        }
    }
    template <class Range>
    void send(Range&& range) {
        check(hub.hub.sendMore(std::forward<Range>(range), "text"));
    }
};

struct Named {
    std::string name;
    operator std::string_view() const { return name; }
};

// As a proxy in an iterator of its own, such as that of a database's rows.
struct Proxy {
    int number;
    operator std::string() const { return userId(number); }
};

struct Sentinel {
    int last;
};

// The least that a range-based for needs: no iterator_traits, and an end of another type.
template <class Element>
struct Counting {
    struct Iterator {
        int number;
        Element operator*() const { return Element{userId(number)}; }
        Iterator& operator++() {
            ++number;
            return *this;
        }
        friend bool operator!=(const Iterator& iterator, Sentinel end) {
            return iterator.number != end.last;
        }
    };
    Iterator begin() { return {1}; }  // not const, as that of a filter
    Sentinel end() { return {3}; }
};

// Passes once: every iterator refers to the same current line.
struct Lines {
    struct Iterator {
        using iterator_category = std::input_iterator_tag;
        using value_type = std::string;
        using difference_type = std::ptrdiff_t;
        using pointer = const std::string*;
        using reference = const std::string&;

        Lines* lines;
        reference operator*() const { return lines->line; }
        pointer operator->() const { return &lines->line; }
        Iterator& operator++() {
            lines->line = userId(++lines->number);
            return *this;
        }
        Iterator operator++(int) { return ++*this; }
        friend bool operator==(const Iterator& a, const Iterator& b) {
            return (a.lines ? a.lines->number : 3) == (b.lines ? b.lines->number : 3);
        }
        friend bool operator!=(const Iterator& a, const Iterator& b) { return !(a == b); }
    };
    int number = 1;
    std::string line = userId(1);
    Iterator begin() { return {this}; }
    Iterator end() { return {nullptr}; }
};

namespace found {

// A range by functions that only the look-up by argument finds.
struct Team {
    std::vector<std::string> members;
};
auto begin(const Team& team) {
    return team.members.begin();
}
auto end(const Team& team) {
    return team.members.end();
}

}  // namespace found

}  // namespace

TEST_CASE("sendMore takes containers of texts", "[push]") {
    Users users;
    const std::string one = userId(1);
    const std::string two = userId(2);
    const std::vector<std::string> strings{one, two, one};
    users.send(strings);
    users.send(std::vector<std::string>(strings));
    users.send(std::vector<std::string_view>{one, two});
    users.send(std::vector<const char*>{one.c_str(), two.c_str()});
    users.send(std::set<std::string>{one, two});
    users.send(std::list<std::string>{one, two});
    users.send(std::forward_list<std::string>{one, two});
    users.send(std::array<std::string_view, 2>{one, two});
    users.send(std::initializer_list<std::string>{one, two});
    users.send(std::initializer_list<const char*>{one.c_str(), two.c_str()});
    users.send(std::vector<Named>{{one}, {two}});
    users.send(found::Team{{one, two}});
    const std::string array[] = {one, two};
    users.send(array);
    const char* pointers[] = {one.c_str(), two.c_str()};
    users.send(pointers);
    CHECK(users.hub.hub.sendMore(std::vector<std::string>(), "text").accepted == 0);
}

TEST_CASE("sendMore takes lists in braces", "[push]") {
    Users users;
    auto& hub = users.hub.hub;
    const std::string one = userId(1);
    const std::string two = userId(2);
    users.check(hub.sendMore({one, two}, "text"));
    users.check(hub.sendMore({one.c_str(), two.c_str()}, "text"));
    users.check(hub.sendMore({std::string_view(one), std::string_view(two)}, "text"));
    users.check(hub.sendMore({userId(1), userId(2)}, "text"));
    users.check(hub.sendMore({userId(1).c_str(), std::string_view(two).data()}, "text"));
    users.check(hub.sendMore({Named{one}, userId(2), one.c_str()}, "text"));
    CHECK(hub.sendMore({one}, "text").accepted == 1);
    CHECK(hub.sendMore({"0001"}, "text").offline == 1);
    CHECK(hub.sendMore({"0001", "0002"}, "text").offline == 2);
    CHECK(hub.sendMoreBinary({"0001", "0002"}, "bytes").offline == 2);
    CHECK(hub.sendMoreBinary({one, two}, "bytes").accepted == 2);
}

TEST_CASE("sendMore keeps texts that are made while it reads them", "[push]") {
    Users users;
    users.send(Counting<std::string>());
    users.send(Counting<Named>());
    Lines lines;
    users.send(lines);
    users.send(Lines());
    std::vector<std::string> strings{userId(1), userId(2)};
    struct Moved {
        std::vector<std::string>& strings;
        auto begin() { return std::make_move_iterator(strings.begin()); }
        auto end() { return std::make_move_iterator(strings.end()); }
    };
    users.send(Moved{strings});
    CHECK(strings == std::vector<std::string>{userId(1), userId(2)});

    struct Proxies {
        struct Iterator {
            int number;
            Proxy operator*() const { return {number}; }
            Iterator& operator++() {
                ++number;
                return *this;
            }
            bool operator!=(const Iterator& other) const { return number != other.number; }
        };
        Iterator begin() const { return {1}; }
        Iterator end() const { return {3}; }
    };
    users.send(Proxies());

    CHECK(users.hub.hub.sendMoreBinary(Counting<std::string>(), "bytes").accepted == 2);

    std::istringstream words("x y x");
    struct Words {
        std::istream& in;
        auto begin() { return std::istream_iterator<std::string>(in); }
        auto end() { return std::istream_iterator<std::string>(); }
    };
    CHECK(users.hub.hub.sendMore(Words{words}, "text").offline == 2);
}

TEST_CASE("A key lives as long as its options", "[push]") {
    Users users;
    PushOptions push;
    {
        std::string key = "a key that is longer than what fits into a string";
        push.key = std::string_view(key);
        key.assign(key.size(), 'x');
    }
    for (const char* text : {"old", "new"}) {
        CHECK(users.hub.hub.sendOne(userId(1), text, push).accepted == 1);
    }
    users.hub.poll();
    CHECK(users.clients[1]->takeTexts() == std::vector<std::string>{"new"});
    CHECK(push.key == "a key that is longer than what fits into a string");
}

// The views of libstdc++ are beyond clang before 16.
#if __cplusplus >= 202002L && defined(__cpp_lib_ranges) && \
    !(defined(__clang__) && __clang_major__ < 16)
TEST_CASE("sendMore takes views", "[push]") {
    Users users;
    const std::vector<std::pair<std::string, int>> pairs{
        {userId(0), 0}, {userId(1), 1}, {userId(2), 2}};
    const std::vector<std::string> strings{userId(0), userId(1), userId(2)};
    const auto notFirst = [](const auto& text) { return text != userId(0); };
    users.send(strings | std::views::drop(1));
    users.send(std::span<const std::string>(strings).subspan(1));
    users.send(strings | std::views::filter(notFirst));
    auto filtered = strings | std::views::filter(notFirst);
    users.send(filtered);
    users.send(pairs | std::views::keys | std::views::filter(notFirst));
    users.send(std::views::iota(1, 3) | std::views::transform(&userId));
    users.send(std::views::iota(1) | std::views::transform(&userId) | std::views::take(2));
    users.send(std::views::iota(0, 3) | std::views::transform(&userId) |
               std::views::filter(notFirst));
    users.send(strings | std::views::drop(1) | std::views::reverse | std::views::common);
    users.send(strings | std::views::drop(1) |
               std::views::transform([](const std::string& text) { return Named{text}; }));
    const std::vector<std::vector<std::string>> nested{{userId(1)}, {}, {userId(2)}};
    users.send(nested | std::views::join);
    std::istringstream words("x y x");
    CHECK(users.hub.hub.sendMore(std::ranges::istream_view<std::string>(words), "text").offline ==
          2);
}
#endif
