"""A stand-in of the part of GitHub's REST API that posting a report uses, on a port of this machine."""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

BOT = "github-actions[bot]"


class StandIn:
    """Pull requests, refs, commits and comments of one repository, and the calls that were made."""

    def __init__(self, repository="team/ear"):
        self.repository = repository
        self.pulls, self.comments, self.refs, self.parents = [], [], {}, {}
        self.calls, self.failures = [], []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"site": self}))
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def open_pull(self, number, sha, branch="topic", repository=None, base="main"):
        repository = repository or self.repository
        head = {"sha": sha, "ref": branch, "repo": {"full_name": repository}}
        self.pulls.append({"number": number, "head": head, "base": {"ref": base}, "closed_at": None})

    def add_comment(self, number, body, login=BOT):
        self.comments.append({"id": len(self.comments) + 1, "issue": number, "body": body, "user": {"login": login}})
        return self.comments[-1]

    def keep(self, ref, sha, parent):
        self.refs[ref], self.parents[sha] = sha, [parent]

    def writes(self):
        return [method for method, _ in self.calls if method != "GET"]

    def answer(self, method, path, query, content):
        """Status and content of the answer to a call."""
        if self.failures:
            return self.failures.pop(0), {"message": "no"}
        path = path.removeprefix(f"/repos/{self.repository}/")
        if path == "pulls":
            owner, branch = query["head"][0].split(":", 1)
            of_branch = (pull for pull in self.pulls if pull["head"]["ref"] == branch and pull["head"]["repo"])
            found = [pull for pull in of_branch if pull["head"]["repo"]["full_name"].startswith(f"{owner}/")]
            return 200, self.page(found, query)
        if match := re.fullmatch(r"pulls/(\d+)", path):
            found = [pull for pull in self.pulls if pull["number"] == int(match[1])]
            return (200, found[0]) if found else (404, {"message": "Not Found"})
        if match := re.fullmatch(r"issues/(\d+)/comments", path):
            if method == "POST":
                return 201, self.add_comment(int(match[1]), content["body"])
            return 200, self.page([c for c in self.comments if c["issue"] == int(match[1])], query)
        if method == "PATCH" and (match := re.fullmatch(r"issues/comments/(\d+)", path)):
            self.comments[int(match[1]) - 1]["body"] = content["body"]
            return 200, self.comments[int(match[1]) - 1]
        if (match := re.fullmatch(r"git/ref/(.+)", path)) and match[1] in self.refs:
            return 200, {"object": {"sha": self.refs[match[1]]}}
        if (match := re.fullmatch(r"git/commits/(\w+)", path)) and match[1] in self.parents:
            return 200, {"sha": match[1], "parents": [{"sha": sha} for sha in self.parents[match[1]]]}
        return 404, {"message": "Not Found"}

    @staticmethod
    def page(items, query):
        size, number = int(query["per_page"][0]), int(query["page"][0])
        return items[size * (number - 1) : size * number]


class _Handler(BaseHTTPRequestHandler):
    site: StandIn

    def _serve(self):
        length = int(self.headers.get("Content-Length") or 0)
        content = json.loads(self.rfile.read(length)) if length else None
        parts = urlsplit(self.path)
        self.site.calls.append((self.command, self.path))
        status = 401, {"message": "Bad credentials"}
        if self.headers["Authorization"] == "Bearer secret":
            status = self.site.answer(self.command, parts.path, parse_qs(parts.query), content)
        body = json.dumps(status[1]).encode()
        self.send_response(status[0])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PATCH = _serve

    def log_message(self, *arguments):
        pass
