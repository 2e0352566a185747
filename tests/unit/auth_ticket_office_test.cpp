#include <pushhub/auth/ticket_office.hpp>

#include <atomic>
#include <chrono>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"

using namespace std::chrono_literals;
using pushhub::auth::TicketOffice;

namespace {

struct MovedClock {
    TicketOffice::Clock::time_point now{};
    TicketOffice::Now function() {
        return [this] { return now; };
    }
};

}  // namespace

TEST_CASE("A ticket is good once", "[auth][ticket]") {
    TicketOffice office;
    const std::string ticket = office.issue("0001");
    const std::string other = office.issue("0002");
    CHECK(office.size() == 2);
    CHECK(office.redeem(ticket) == std::string("0001"));
    CHECK_FALSE(office.redeem(ticket).has_value());
    CHECK(office.redeem(other) == std::string("0002"));
    CHECK(office.size() == 0);
}

TEST_CASE("What was never issued is no ticket", "[auth][ticket]") {
    TicketOffice office;
    const std::string ticket = office.issue("0001");
    for (const std::string& wrong :
         {std::string(), ticket.substr(1), ticket + "A", ticket + "=", " " + ticket,
          std::string(ticket.size(), 'A'), std::string(100'000, 'A')}) {
        CHECK_FALSE(office.redeem(wrong).has_value());
    }
    CHECK(office.redeem(ticket).has_value());
}

TEST_CASE("A ticket expires", "[auth][ticket]") {
    MovedClock clock;
    TicketOffice office(10, clock.function());
    const std::string early = office.issue("0001", 5s);
    const std::string late = office.issue("0002", 10s);
    const std::string now = office.issue("0003", 5s);
    clock.now += 5s - 1ns;
    CHECK(office.redeem(now) == std::string("0003"));
    clock.now += 1ns;
    CHECK(office.size() == 1);
    CHECK_FALSE(office.redeem(early).has_value());
    CHECK(office.redeem(late) == std::string("0002"));
}

TEST_CASE("The number of tickets is bounded", "[auth][ticket]") {
    MovedClock clock;
    TicketOffice office(3, clock.function());
    const std::string longest = office.issue("longest", 60s);
    const std::string first = office.issue("first", 10s);
    clock.now += 1s;
    const std::string second = office.issue("second", 10s);
    CHECK(office.size() == 3);

    SECTION("the next to expire goes") {
        const std::string third = office.issue("third", 10s);
        CHECK(office.size() == 3);
        CHECK_FALSE(office.redeem(first).has_value());
        CHECK(office.redeem(third) == std::string("third"));
    }
    SECTION("none goes if some have expired") {
        clock.now += 9s;
        const std::string third = office.issue("third", 10s);
        CHECK(office.size() == 3);
        CHECK_FALSE(office.redeem(first).has_value());
        CHECK(office.redeem(third) == std::string("third"));
    }
    CHECK(office.redeem(second) == std::string("second"));
    CHECK(office.redeem(longest) == std::string("longest"));
}

TEST_CASE("Tickets are long, random and fit for a URL", "[auth][ticket]") {
    TicketOffice office;
    std::set<std::string> tickets;
    std::vector<std::set<char>> at(32);
    for (int i = 0; i < 1000; ++i) {
        const std::string ticket = office.issue("0001");
        REQUIRE(ticket.size() == 32);  // 192 bits
        CHECK(ticket.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                       "0123456789-_") == std::string::npos);
        for (std::size_t k = 0; k < 32; ++k) {
            at[k].insert(ticket[k]);
        }
        tickets.insert(ticket);
    }
    CHECK(tickets.size() == 1000);
    for (const std::set<char>& characters : at) {
        CHECK(characters.size() > 60);  // of 64, in 1000 tries
    }
}

TEST_CASE("Wrong arguments of a ticket office are errors", "[auth][ticket]") {
    CHECK_THROWS_AS(TicketOffice(0), std::invalid_argument);
    TicketOffice office;
    CHECK_THROWS_AS(office.issue(""), std::invalid_argument);
    CHECK_THROWS_AS(office.issue("0001", 0s), std::invalid_argument);
    CHECK_THROWS_AS(office.issue("0001", -1s), std::invalid_argument);
    CHECK_THROWS_AS(office.issue("0001", 3601s), std::invalid_argument);
    CHECK(office.size() == 0);
}

TEST_CASE("Of many that redeem one ticket, one does", "[auth][ticket]") {
    TicketOffice office(50);
    std::atomic<int> redeemed{0};
    std::vector<std::string> shared;
    for (int i = 0; i < 20; ++i) {
        shared.push_back(office.issue("shared"));
    }
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&] {
            for (const std::string& ticket : shared) {
                redeemed += office.redeem(ticket) ? 1 : 0;
                const std::string own = office.issue("own");
                redeemed += office.redeem(own) == std::string("own") ? 100 : 0;
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    CHECK(redeemed == 20 + 100 * 4 * 20);
    CHECK(office.size() == 0);
}

TEST_CASE("The check of tickets gives the user", "[auth][ticket]") {
    TicketOffice office;
    const auto check = pushhub::auth::ticketCheck(office);
    const std::string ticket = office.issue("0001");
    const auto identity = check(ticket);
    REQUIRE(identity.has_value());
    CHECK(identity->userId == "0001");
    CHECK_FALSE(identity->expires.has_value());
    CHECK_FALSE(check(ticket).has_value());
    CHECK_FALSE(check("").has_value());
}
