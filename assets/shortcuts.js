() => {
  // Keyboard shortcuts: click the control that does the thing, unless a text is being composed (IME).
  const press = (id) => {
    const target = document.querySelector(`#${id} button, button#${id}`);
    if (target) target.click();
  };
  // On a narrow screen the sidebar covers the page, so it begins closed and closes when a conversation is chosen.
  const narrow = () => window.innerWidth < 768;
  const closeSidebar = () => document.querySelector("#qf-sidebar.open .toggle-button")?.click();
  if (narrow()) setTimeout(closeSidebar, 300);
  document.addEventListener("click", (event) => {
    if (narrow() && event.target.closest("#new-chat, #chat-list label")) setTimeout(closeSidebar, 300);
  });
  // The undo beside what was taught last, in the chat or in the desk, as long as there is one.
  const undo = () => document.querySelector(".qf-taught:has([data-undo]) button");
  const tab = (id) => document.querySelector(`[role="tab"][data-tab-id="${id}"]`)?.click();

  // The sheet of shortcuts: a native dialog, which keeps the focus, closes with Esc and gives the focus back.
  const help = () => document.querySelector("#qf-help");
  const showHelp = () => (help().open ? help().close() : help().showModal());

  // Light, dark, or as the system says; kept in this browser.
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const look = () => localStorage.getItem("qfchat-look") || "system";
  const drawLook = () => {
    const dark = look() === "dark" || (look() === "system" && system.matches);
    document.body.classList.toggle("dark", dark);
    document.documentElement.style.colorScheme = dark ? "dark" : "light";
    for (const button of document.querySelectorAll("[data-look]"))
      button.setAttribute("aria-pressed", String(button.dataset.look === look()));
  };
  drawLook();
  setTimeout(drawLook, 500); // the sidebar may be drawn after the page's own script ran
  system.addEventListener("change", () => setTimeout(drawLook));

  document.addEventListener("click", (event) => {
    const chosen = event.target.closest("[data-look]");
    if (chosen) {
      localStorage.setItem("qfchat-look", chosen.dataset.look);
      drawLook();
    }
    if (event.target.closest("#help-button")) showHelp();
    if (event.target.closest("[data-close]") || event.target.id === "qf-help") help().close();
  });

  // Arrows move between tabs, as everywhere; Enter or Space opens the one in focus.
  const moveTab = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const list = event.target.closest?.("[role=tab]")?.closest("[role=tablist]");
    if (!step || !list) return;
    const tabs = [...list.querySelectorAll("[role=tab]")].filter((one) => one.offsetParent && !one.disabled);
    tabs[(tabs.indexOf(event.target) + step + tabs.length) % tabs.length]?.focus();
    event.preventDefault();
  };

  document.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    moveTab(event);
    const ctrl = event.ctrlKey || event.metaKey;
    const key = event.key.toLowerCase();
    const editing = event.target.closest?.(
      "#chat-messages textarea, #chat-messages input, [role=listbox], [role=combobox], dialog",
    );
    const typing = event.target.closest?.("input, textarea, [contenteditable]"); // there it means: redo
    if (key === "escape") {
      if (!editing && !help()?.open) press("chat-stop");
      return;
    }
    if (ctrl && !event.shiftKey && key === "k") document.querySelector("#chat-search input, #chat-search textarea")?.focus();
    else if (ctrl && event.shiftKey && key === "o") press("new-chat");
    else if (ctrl && event.shiftKey && key === "l") tab("teach");
    else if (ctrl && event.shiftKey && key === "z" && !typing && undo()) undo().click();
    else if (ctrl && key === "/") showHelp();
    else return;
    event.preventDefault();
  });

  // The page asks whether it shows what it should, and looks around when it is seen again.
  setInterval(() => document.hidden || press("chat-watch"), 3000);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    press("chat-watch");
    press("sidebar-refresh");
  });
}
