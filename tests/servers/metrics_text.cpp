// Prints the figures of hubs for Prometheus: of one, of several, or of several whose texts are put
// behind each other, which is wrong.

#include <chrono>
#include <iostream>
#include <string>
#include <string_view>

#include <pushhub/metrics/prometheus.hpp>

int main(int argc, char** argv) {
    using pushhub::prometheusText;
    const std::string_view which = argc == 2 ? argv[1] : "";
    pushhub::HubStats stats;
    stats.sessions = 3;
    stats.handshakesForbidden = 12'345'678'901;
    stats.loopLag = std::chrono::microseconds(1500);
    const std::string awkward = pushhub::prometheusLabel("tenant", "a\"b\\c\nd{},=\xc3\xa9");

    if (which == "one") {
        std::cout << prometheusText(stats).str();
    } else if (which == "labelled") {
        std::cout << prometheusText(stats, awkward + R"(, zone = "eu\\1",)").str();
    } else if (which == "several") {
        const pushhub::PrometheusText text = prometheusText(stats, R"(endpoint="orders")") +
                                             prometheusText(stats, R"(endpoint="prices")") +
                                             prometheusText(stats, awkward);
        std::cout << text.str();
    } else if (which == "concatenated") {
        std::cout << prometheusText(stats, R"(endpoint="orders")").str()
                  << prometheusText(stats, R"(endpoint="prices")").str();
    } else {
        std::cerr << "usage: metrics_text one|labelled|several|concatenated\n";
        return 1;
    }
    return 0;
}
