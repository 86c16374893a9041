def page(clients, results):
    return ""
