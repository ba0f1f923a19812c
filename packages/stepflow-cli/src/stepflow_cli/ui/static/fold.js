// Closes what stands below the outcome on narrow screens; a part that was opened stays open.

if (matchMedia("(max-width:640px)").matches) {
  for (const part of document.querySelectorAll("details.fold")) part.open = false;
}
