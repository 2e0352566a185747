// The figures of several hubs are added, not appended to a text.
// wrong APPENDED: deleted

#include <string>

#include <pushhub/metrics/prometheus.hpp>

std::string metrics(const pushhub::HubStats& orders, const pushhub::HubStats& prices);

std::string metrics(const pushhub::HubStats& orders, const pushhub::HubStats& prices) {
#ifdef APPENDED
    std::string text = pushhub::prometheusText(orders, R"(endpoint="orders")");
#else
    pushhub::PrometheusText text = pushhub::prometheusText(orders, R"(endpoint="orders")");
#endif
    text += pushhub::prometheusText(prices, R"(endpoint="prices")");
    return text;
}
